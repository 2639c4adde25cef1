import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../../src/adapters/pino/log.js'
import { createPolicyStore } from '../../../src/adapters/postgres/policy-store.js'
import { createPool } from '../../../src/adapters/postgres/pool.js'
import { sharePolicies, type SharedPolicies } from '../../../src/main/policies.js'
import type { PolicyStore } from '../../../src/ports/policy-store.js'
import type { PolicyBook } from '../../../src/scoring/policy.js'
import { shippedRulebook } from '../../support/engine.js'
import { openLine } from '../../support/postgres-line.js'
import { quiet, usePostgres } from '../../support/postgres.js'

const postgres = usePostgres()
const log = createLog('silent')
const closers: (() => Promise<void> | void)[] = []
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

let shipped: PolicyBook
beforeAll(async () => { shipped = (await shippedRulebook()).policies })

function share(store: PolicyStore): SharedPolicies {
  let book = shipped
  const shared = sharePolicies(store, () => book, (next) => { book = next }, log)
  closers.push(() => { shared.stop() })
  return shared
}

async function within(ms: number, what: () => boolean): Promise<void> {
  for (const giveUpAt = performance.now() + ms; !what();) {
    if (performance.now() > giveUpAt) throw new Error(`it did not come true within ${ms} ms`)
    await delay(10)
  }
}

const thresholdOf = (policies: SharedPolicies): number => policies.of('h-9').policy.thresholds.hold

describe('policies over a PostgreSQL that several processes share', () => {
  it('what is set through one is in force there at once, and in the other within 1.5 seconds', async () => {
    const database = await postgres.fresh()
    const a = share(createPolicyStore(database.pool)), b = share(createPolicyStore(postgres.another(database)))
    expect(await a.put('h-9', { thresholds: { hold: 99 } }, 'lea')).toEqual({ kind: 'saved' })
    expect([thresholdOf(a), a.of('h-9').override?.revision]).toEqual([99, 1])
    await within(1_500, () => thresholdOf(b) === 99)
    expect(await b.put('h-9', { thresholds: { hold: 98 } }, 'max', 1)).toEqual({ kind: 'saved' })
    await within(1_500, () => thresholdOf(a) === 98)
    expect(a.of('h-9').version).toBe(b.of('h-9').version)
  })

  it('a put over a revision that is no more says so, and shows the present one', async () => {
    const database = await postgres.fresh()
    const a = share(createPolicyStore(database.pool)), b = share(createPolicyStore(postgres.another(database)))
    await a.put('h-9', { thresholds: { hold: 99 } }, 'lea', 0)
    expect(await b.put('h-9', { thresholds: { hold: 50 } }, 'max', 0)).toEqual({ kind: 'stale' })
    expect(b.of('h-9').override).toMatchObject({ revision: 1, changedBy: 'lea', patch: { thresholds: { hold: 99 } } })
  })

  it('a patch that makes no sense is not stored', async () => {
    const { pool } = await postgres.fresh()
    const store = createPolicyStore(pool)
    const put = await share(store).put('h-9', { thresholds: { hold: 1 } }, 'lea')
    expect(put.kind).toBe('invalid')
    expect(await store.all()).toEqual([])
  })

  it('without PostgreSQL the old ones stay in force, and what was changed meanwhile comes when it is back', async () => {
    const { connectionString, pool } = await postgres.fresh()
    const line = await openLine(connectionString)
    const far = createPool(line.connectionString, quiet, 2)
    closers.push(() => line.close(), () => far.end())
    const shared = share(createPolicyStore(far))
    await shared.put('h-9', { thresholds: { hold: 99 } }, 'lea')
    await pool.query('ALTER TABLE policies RENAME TO hidden')
    line.cut()
    await delay(1_200)
    expect(thresholdOf(shared)).toBe(99)
    await expect(shared.put('h-9', { thresholds: { hold: 98 } }, 'lea')).rejects.toThrow()
    expect(thresholdOf(shared)).toBe(99)
    await pool.query('ALTER TABLE hidden RENAME TO policies')
    await createPolicyStore(pool).put('h-9', { thresholds: { hold: 97 } }, 'max', 1)
    await within(2_500, () => thresholdOf(shared) === 97)
  })

  it('a look that began earlier never puts back what was set later', async () => {
    const store = createPolicyStore((await postgres.fresh()).pool)
    let slow = true
    const shared = share({ ...store, all: async () => { const all = await store.all(); if (slow) { slow = false; await delay(200) } return all } })
    const first = shared.put('h-9', { thresholds: { hold: 99 } }, 'lea')
    await delay(50)
    await shared.put('h-9', { thresholds: { hold: 98 } }, 'lea')
    expect(thresholdOf(shared)).toBe(98)
    await first
    expect(thresholdOf(shared)).toBe(98)
  })

  it('nothing is looked for any more after it was stopped', async () => {
    const database = await postgres.fresh()
    const a = share(createPolicyStore(database.pool)), b = share(createPolicyStore(postgres.another(database)))
    b.stop()
    await a.put('h-9', { thresholds: { hold: 99 } }, 'lea')
    await delay(1_300)
    expect(thresholdOf(b)).not.toBe(99)
  })
})
