import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCounterLedger } from '../../src/adapters/postgres/counter-ledger.js'
import { createEnforcementStore } from '../../src/adapters/postgres/enforcement-store.js'
import { createPostgresJournal, type PostgresJournal } from '../../src/adapters/postgres/journal.js'
import { clearLogs } from '../../src/adapters/redis/clear.js'
import { ANSWER_MS, connectRedis, type RedisClient } from '../../src/adapters/redis/connect.js'
import { createMarks } from '../../src/adapters/redis/marks.js'
import { keepCounters } from '../../src/pipeline/counter-keeper.js'
import { watchCounters, type CounterWatch } from '../../src/pipeline/counter-watch.js'
import type { CounterLedger, CounterMarks } from '../../src/ports/counter-standing.js'
import { Redis } from 'ioredis'
import { anEntry } from '../support/journal-entries.js'
import { usePostgres } from '../support/postgres.js'
import { startRedis, startRedisCluster, type RedisServers } from '../support/redis.js'

/** The keeper and the watch over a real Redis, single and Cluster, and a real PostgreSQL. */

const postgres = usePostgres()
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

const pause = (ms: number, signal: AbortSignal): Promise<void> => delay(ms, undefined, { signal })
const quiet = { info: () => undefined, warn: () => undefined }

async function until(what: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  for (const giveUpAt = performance.now() + ms; !await what();) {
    if (performance.now() > giveUpAt) throw new Error('it never came true')
    await delay(10)
  }
}

interface Kept { client: RedisClient; marks: CounterMarks; ledger: CounterLedger; journal: PostgresJournal; pool: Pool; watch: CounterWatch; filledFrom: number[]; take(n: number): Promise<void>; lacking(): Promise<number[]> }

/** Each event counts as one key of its name. `take` counts and records event n, as a process does. */
async function kept(urls: readonly string[]): Promise<Kept> {
  const { pool } = await postgres.fresh()
  const prefix = `${randomUUID()}:`
  const client = await connectRedis(urls, () => undefined, ANSWER_MS)
  const marks = createMarks(client, prefix), ledger = createCounterLedger(pool)
  const journal = await createPostgresJournal(pool, { enforcement: createEnforcementStore(pool), pollMs: 0 })
  const filledFrom: number[] = []
  const count = async (eventId: string): Promise<void> => { await client.set(`${prefix}${eventId}`, '1') }
  const keeper = keepCounters({
    marks, ledger, layout: 'l', everyMs: 50, sleep: pause, newGeneration: () => randomUUID().slice(0, 8), log: quiet,
    clear: () => clearLogs(client, prefix),
    head: async () => { await journal.poll(); return journal.durableSeq },
    fill: async (from, onProgress) => {
      filledFrom.push(from)
      let events = 0
      for await (const records of journal.read(from)) for (const { seq, event } of records) { await count(event.eventId); onProgress(seq); events++ }
      return events
    },
  })
  const watch = await watchCounters({ marks, ledger, layout: 'l', everyMs: 25, sleep: pause })
  closers.push(async () => { client.disconnect(); await Promise.resolve() }, () => journal.close(), () => keeper.stop(), () => watch.stop())
  await until(() => watch.whole)
  return {
    client, marks, ledger, journal, pool, watch, filledFrom,
    async take(n) {
      const { generation = '' } = watch
      const counted = await count(`e-${n}`).then(() => true, () => false)
      await journal.record({ ...anEntry(n), ...(counted ? { countedIn: generation } : {}) }, undefined)
    },
    async lacking() {
      await journal.poll()
      const all: number[] = []
      for await (const records of journal.read(1)) for (const { seq, event } of records) if (await client.exists(`${prefix}${event.eventId}`) === 0) all.push(seq)
      return all
    },
  }
}

async function takeAll(world: Kept, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await world.take(n)
}
const settled = (world: Kept, watermark: number): Promise<void> => until(async () => (await world.ledger.load('l'))?.watermark === watermark)

describe('the ledger in PostgreSQL', () => {
  const aStanding = { generation: 'g1', ready: true, runs: 'r', watermark: 0 }

  it('keeps the standing of each layout by itself, and replaces only what was read', async () => {
    const ledger = createCounterLedger((await postgres.fresh()).pool)
    expect(await ledger.load('l')).toBeUndefined()
    expect(await ledger.save('l', aStanding, undefined)).toBe(true)
    expect(await ledger.save('l', { ...aStanding, generation: 'g2' }, undefined)).toBe(false)
    expect(await ledger.save('l', { ...aStanding, watermark: 7 }, { ...aStanding, watermark: 3 })).toBe(false)
    expect(await ledger.save('l', { ...aStanding, watermark: 7 }, aStanding)).toBe(true)
    expect([await ledger.load('l'), await ledger.load('other')]).toEqual([{ ...aStanding, watermark: 7 }, undefined])
  })

  it('notes the first record that names no generation, or one that is over, for every layout it is over in', async () => {
    const { pool } = await postgres.fresh()
    const ledger = createCounterLedger(pool)
    const journal = await createPostgresJournal(pool, { enforcement: createEnforcementStore(pool), pollMs: 0 })
    closers.push(() => journal.close())
    await ledger.save('l', aStanding, undefined)
    await ledger.save('next', { ...aStanding, generation: 'n1' }, undefined)
    await journal.record({ ...anEntry(1), countedIn: 'g1' }, undefined)
    expect([await ledger.load('l'), (await ledger.load('next'))?.missingFrom]).toEqual([aStanding, 1])
    await Promise.all([2, 3, 4].map((n) => journal.record({ ...anEntry(n), ...(n === 2 ? { countedIn: 'g1' } : {}) }, undefined)))
    expect([(await ledger.load('l'))?.missingFrom, (await ledger.load('next'))?.missingFrom]).toEqual([3, 1])
    // Ready again, the note stays; counted again from before it, it goes.
    const noted = await ledger.load('l')
    await ledger.save('l', { ...aStanding, watermark: 2 }, noted)
    expect((await ledger.load('l'))?.missingFrom).toBe(3)
    await ledger.save('l', { ...aStanding, ready: false, watermark: 2 }, { ...aStanding, watermark: 2 })
    expect(await ledger.load('l')).toEqual({ ...aStanding, ready: false, watermark: 2 })
  })

  it('changes only between two recordings: one under way is compared with what it was, every later one with what it is', async () => {
    const { pool } = await postgres.fresh()
    const ledger = createCounterLedger(pool)
    await ledger.save('l', aStanding, undefined)
    const recording = await pool.connect()
    await recording.query('BEGIN')
    await recording.query('SELECT FROM journal_head FOR UPDATE')
    let saved = false
    const saving = ledger.save('l', { ...aStanding, generation: 'g2' }, aStanding).then((done) => { saved = done })
    await delay(150)
    expect(saved).toBe(false)
    await recording.query('COMMIT')
    recording.release()
    await saving
    expect(saved).toBe(true)
  })
})

const CASES: { name: string; start: () => Promise<RedisServers | undefined>; nodes: number }[] = [
  { name: 'a single Redis', start: startRedis, nodes: 1 }, { name: 'a Redis Cluster', start: startRedisCluster, nodes: 3 },
]

describe.each(CASES)('counters in $name', ({ start, nodes }) => {
  let servers: RedisServers | undefined
  beforeAll(async () => { servers = await start() })
  afterAll(async () => { await servers?.stop() })
  const urls = (): string[] => servers?.urls ?? []
  const last = nodes - 1

  it('have marks on every node, which never come back by a move', async (test) => {
    if (!servers) return test.skip()
    const client = await connectRedis(urls(), () => undefined, ANSWER_MS)
    closers.push(async () => { client.disconnect(); await Promise.resolve() })
    const marks = createMarks(client, `${randomUUID()}:`)
    expect((await marks.read()).marks.every((mark) => mark === undefined)).toBe(true)
    await marks.write('a 1')
    const found = await marks.read()
    expect(new Set(found.marks)).toEqual(new Set(['a 1']))
    expect(found.runs.split(' ')).toHaveLength(nodes)
    expect(await marks.move(found.marks, 'a 2')).toBe(true)
    expect(await marks.move(found.marks, 'a 3')).toBe(false)
    expect(new Set((await marks.read()).marks)).toEqual(new Set(['a 2']))
    const node = new Redis(urls()[last] ?? '')
    await node.flushall()
    node.disconnect()
    const emptied = await marks.read()
    expect(emptied.marks).toContain(undefined)
    expect(await marks.move(emptied.marks, 'a 4')).toBe(false)
    expect((await marks.read()).marks).toContain(undefined)
    return undefined
  })

  it('are noticed when a node is emptied, filled from the first record on, and whole', async (test) => {
    if (!servers) return test.skip()
    const world = await kept(urls())
    await takeAll(world, 1, 20)
    await settled(world, 20)
    world.filledFrom.length = 0
    const node = new Redis(urls()[last] ?? '')
    await node.flushall()
    node.disconnect()
    await until(() => !world.watch.whole, 1_000)
    await until(() => world.watch.whole)
    expect([world.filledFrom[0], await world.lacking()]).toEqual([1, []])
    return undefined
  })

  it('are filled for events that could not be counted, and for one counted before a loss and recorded after the filling', async (test) => {
    if (!servers) return test.skip()
    const world = await kept(urls())
    await takeAll(world, 1, 5)
    const before = world.watch.generation ?? ''
    await world.journal.record(anEntry(6), undefined)
    await until(async () => (await world.ledger.load('l'))?.watermark === 6)
    expect(await world.lacking()).toEqual([])
    for (const url of urls()) { const node = new Redis(url); await node.flushall(); node.disconnect() }
    await until(() => world.watch.generation !== before && world.watch.whole)
    await world.journal.record({ ...anEntry(7), countedIn: before }, undefined)
    await until(async () => (await world.ledger.load('l'))?.watermark === 7)
    await until(() => world.watch.whole)
    expect(await world.lacking()).toEqual([])
    return undefined
  })

  it('are not whole while a node is away or stands still, and whole again when it is back, with all that came meanwhile', async (test) => {
    if (!servers) return test.skip()
    const world = await kept(urls())
    await takeAll(world, 1, 10)
    await servers.kill(last, 'SIGSTOP')
    await until(() => !world.watch.whole, 2_000)
    await takeAll(world, 11, 12)
    await servers.kill(last, 'SIGCONT')
    await until(() => world.watch.whole)
    expect(await world.lacking()).toEqual([])
    await servers.kill(last)
    await until(() => !world.watch.whole, 2_000)
    await takeAll(world, 13, 15)
    await servers.restart(last)
    await until(() => world.watch.whole)
    expect(await world.lacking()).toEqual([])
    return undefined
  })
})
