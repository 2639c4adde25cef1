import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { runAsLeader, type Leader } from '../../src/adapters/postgres/leader.js'
import { openLine, type Line } from '../support/postgres-line.js'
import { quiet, usePostgres } from '../support/postgres.js'

const postgres = usePostgres()
const closers: (() => Promise<void>)[] = []
afterEach(async () => { for (const close of closers.splice(0)) await close() })

interface Member { leader: Leader; line: Line }

/** Processes that want the lead, each on a line of its own, and who worked when, in ms. */
async function members(count: number): Promise<{ all: Member[]; terms: { who: number; from: number; to: number | undefined }[] }> {
  const { connectionString } = await postgres.fresh({ migrated: false })
  const terms: { who: number; from: number; to: number | undefined }[] = []
  const all: Member[] = []
  for (let who = 0; who < count; who++) {
    const line = await openLine(connectionString)
    const start = (): Promise<{ stop(): Promise<void> }> => {
      const term: (typeof terms)[number] = { who, from: performance.now(), to: undefined }
      terms.push(term)
      return Promise.resolve({ stop: () => { term.to = performance.now(); return Promise.resolve() } })
    }
    const leader = runAsLeader({ connectionString: line.connectionString, name: 'outgoing', start, log: quiet })
    closers.push(async () => { await leader.stop(); await line.close() })
    all.push({ leader, line })
    while (who === 0 && !leader.leading) await sleep(5)
  }
  return { all, terms }
}

async function until(what: () => boolean): Promise<void> {
  for (const giveUpAt = performance.now() + 8_000; !what();) {
    if (performance.now() > giveUpAt) throw new Error('it never came true')
    await sleep(5)
  }
}

describe('the lead', () => {
  it('is one process\' alone, and another\'s soon after it is given up', async () => {
    const { all: [first, second], terms } = await members(2)
    await sleep(1_000)
    expect([first?.leader.leading, second?.leader.leading, terms.length]).toEqual([true, false, 1])
    await first?.leader.stop()
    expect(terms[0]?.to).toBeDefined()
    await until(() => second?.leader.leading === true)
    expect((terms[1]?.from ?? 0) - (terms[0]?.to ?? 0)).toBeLessThan(1_000)
  })

  it('is taken over within two seconds when the holder dies', async () => {
    const { all: [first, second], terms } = await members(2)
    await sleep(300)
    const diedAt = performance.now()
    first?.line.cut()
    await until(() => terms.length === 2)
    await until(() => terms[0]?.to !== undefined)
    expect((terms[1]?.from ?? 0) - diedAt).toBeLessThan(2_000)
    expect([first?.leader.leading, second?.leader.leading]).toContain(true)
    expect((terms[0]?.to ?? Infinity) - diedAt).toBeLessThan(100)
  })

  it('ends on a line that is dead without a word, before another begins', async () => {
    const { all: [first, second], terms } = await members(2)
    await sleep(300)
    const diedAt = performance.now()
    first?.line.freeze()
    await until(() => second?.leader.leading === true)
    expect(terms.map((t) => t.who)).toEqual([0, 1])
    expect(terms[0]?.to).toBeLessThan(terms[1]?.from ?? 0)
    expect((terms[1]?.from ?? 0) - diedAt).toBeLessThan(2_500)
  })

  it('is had again by itself when the connection is lost and nobody else wants it', async () => {
    const { all: [only], terms } = await members(1)
    only?.line.cut()
    await until(() => terms.length === 2)
    expect(terms[0]?.to).toBeLessThan(terms[1]?.from ?? 0)
  })

  it('is tried for again when the work cannot begin', async () => {
    const { connectionString } = await postgres.fresh({ migrated: false })
    let tries = 0
    const leader = runAsLeader({
      connectionString, name: 'x', log: quiet, heartbeatMs: 50,
      start: () => (++tries < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve({ stop: () => Promise.resolve() })),
    })
    closers.push(() => leader.stop())
    await until(() => tries === 3 && leader.leading)
  })
})
