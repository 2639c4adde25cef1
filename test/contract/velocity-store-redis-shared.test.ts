import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import { clearLogs } from '../../src/adapters/redis/clear.js'
import { connectRedis, type RedisClient } from '../../src/adapters/redis/connect.js'
import { createRedisVelocityStore, type RedisVelocityStore } from '../../src/adapters/redis/velocity-store.js'
import type { BookingEvent } from '../../src/domain/event.js'
import { observe, queueKeyOf, takeTurn } from '../../src/scoring/observe.js'
import { layoutOf, planVelocity } from '../../src/scoring/plan.js'
import { LONG_TIMES_MS, SHORT_TIMES_MS, START_MS, streams, tokenOf } from '../support/event-streams.js'
import { recount } from '../support/naive-recount.js'
import { startRedis, startRedisCluster } from '../support/redis.js'
import { expectSame, feed, probe, SHIPPED, SMALL } from './suites/velocity-store.js'

const single = await startRedis(), cluster = await startRedisCluster()
const clients: RedisClient[] = []
afterAll(async () => {
  for (const client of clients) client.disconnect()
  await single?.stop()
  await cluster?.stop()
})

async function connect(urls: readonly string[]): Promise<RedisClient> {
  const client = await connectRedis(urls, () => undefined)
  clients.push(client)
  return client
}

const plan = planVelocity(SMALL)
const layout = layoutOf(plan)
const DEADLINE_MS = 5_000
const TIMEOUT_MS = 60_000
let made = 0
const newPrefix = (): string => `s${++made}:`
const over = (client: RedisClient, prefix: string): RedisVelocityStore => createRedisVelocityStore({ client, layout, prefix, deadlineMs: DEADLINE_MS })

/** A request of somebody new for the one schedule that everybody wants. */
const requestOf = (n: number, atMs: number): BookingEvent => ({
  eventId: `r-${n}`, type: 'booking.requested', occurredAt: atMs, orderId: `r-${n}`, channel: { id: 'app', kind: 'app' },
  account: { token: tokenOf(`many ${n}`) }, patient: { token: tokenOf(`many ${n}`), idType: '01' }, slot: { hospitalId: 'h-1', scheduleId: 's-1' },
})

/** Processes take turns. */
function oneOf(stores: readonly RedisVelocityStore[], i: number): RedisVelocityStore {
  const store = stores[i % stores.length]
  if (!store) throw new RangeError('no stores')
  return store
}

/** Bytes of the largest value. */
const largestValue = async (client: RedisClient): Promise<number> => {
  const keys = await client.keysBuffer('*')
  const sizes = await Promise.all(keys.map((key) => client.strlen(key)))
  return Math.max(...sizes)
}

/** Counted, and read by nobody at that moment. */
const boundAt = (atMs: number): BookingEvent => ({ eventId: `b-${atMs}`, type: 'patient.bound', occurredAt: atMs, account: { token: tokenOf('binder') }, patient: { token: tokenOf('bound'), idType: '01' } })

/** Seconds that the value has left which goes first; 0 when there is none. */
async function shortestLife(client: RedisClient): Promise<number> {
  const lives = await Promise.all((await client.keysBuffer('*')).map((key) => client.ttl(key)))
  return lives.length === 0 ? 0 : Math.min(...lives)
}

/** The same slot for an order whatever its requests say: no two orders can then wait for each other's slots. */
const oneSlotEach = (event: BookingEvent): BookingEvent => event.orderId === undefined || event.slot?.slotId === undefined
  ? event
  : { ...event, slot: { ...event.slot, hospitalId: 'h-1', scheduleId: 's-1', slotId: Number(event.orderId.slice(2)) % 2 === 0 ? '01' : '02' } }

describe.each([{ name: 'a single Redis', servers: single, runs: 40 }, { name: 'a Redis Cluster', servers: cluster, runs: 20 }])('$name', ({ servers, runs }) => {
  if (!servers) return

  it.each([{ counters: SMALL, timesMs: SHORT_TIMES_MS }, { counters: SHIPPED, timesMs: LONG_TIMES_MS }])('answers a batch in a few trips as memory answers it one by one', async ({ counters, timesMs }) => {
    const client = await connect(servers.urls)
    const own = planVelocity(counters), ownLayout = layoutOf(own)
    await fc.assert(fc.asyncProperty(streams(timesMs), async (stream) => {
      const memory = new MemoryVelocityStore({ layout: ownLayout })
      const store = createRedisVelocityStore({ client, layout: ownLayout, prefix: newPrefix(), deadlineMs: DEADLINE_MS })
      const expected = stream.map((event) => memory.run(observe(own, event)))
      expect(await Promise.all(stream.map((event) => store.run(observe(own, event))))).toEqual(expected)
    }), { numRuns: runs, seed: 11 })
  }, TIMEOUT_MS)

  it('counts what two processes count at once as a naive recount does', async () => {
    const [a, b] = [await connect(servers.urls), await connect(servers.urls)]
    await fc.assert(fc.asyncProperty(streams(SHORT_TIMES_MS), async (drawn) => {
      const stream = drawn.map(oneSlotEach), prefix = newPrefix()
      const stores = [over(a, prefix), over(b, prefix)]
      await Promise.all(stream.map((event, i) => oneOf(stores, i).run(observe(plan, event))))
      const last = oneSlotEach(probe(START_MS + 61_000))
      expectSame(await feed(over(a, prefix), plan, SMALL, last), recount([...stream, last], last, SMALL), 'probe')
    }), { numRuns: runs, seed: 12 })
  }, TIMEOUT_MS)

  it('loses nothing while four processes fold the log of one schedule', async () => {
    const prefix = newPrefix()
    const stores = await Promise.all([1, 2, 3, 4].map(async () => over(await connect(servers.urls), prefix)))
    // Half before what the log keeps, half in it: both must be counted once, by records or by sums.
    const crowd = Array.from({ length: 2_000 }, (_, n) => requestOf(n, START_MS + Math.floor(n / 2)))
    for (let n = 0; n < crowd.length; n += 100) {
      await Promise.all(crowd.slice(n, n + 100).map((event, i) => oneOf(stores, i).run(observe(plan, event))))
    }
    const last = { ...requestOf(0, START_MS + 999), eventId: 'last', orderId: 'last' }
    const memory = new MemoryVelocityStore({ layout })
    for (const event of crowd) memory.run(observe(plan, event))
    const expected = memory.run(observe(plan, last)), seen = await stores[0]?.run(observe(plan, last))
    expect(seen?.features).toEqual(expected?.features)
    expect(seen?.saturated).toEqual(expected?.saturated)
  }, TIMEOUT_MS)

  it('gives every turn of a slow queue once', async () => {
    const prefix = newPrefix()
    const stores = [over(await connect(servers.urls), prefix), over(await connect(servers.urls), prefix)]
    const turns = await Promise.all(Array.from({ length: 40 }, (_, n) => {
      const key = queueKeyOf(requestOf(n, START_MS))
      if (!key) throw new Error('a request has a place in the queue')
      return oneOf(stores, n).run(takeTurn(key, START_MS, 1_000, 10))
    }))
    expect(turns.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => START_MS + 1_000 + 10 * n))
  }, TIMEOUT_MS)
})

describe.skipIf(!single)('one Redis', () => {
  it('cleared of its logs counts from nothing, and keeps other keys', async () => {
    if (!single) return
    const client = await connect(single.urls), prefix = newPrefix(), store = over(client, prefix)
    await client.set(`${prefix}mark`, 'kept')
    await store.run(observe(plan, requestOf(1, START_MS)))
    await clearLogs(client, prefix)
    expect((await feed(store, plan, SMALL, requestOf(2, START_MS)))?.['schedule_attempts_1s']).toBe(1)
    expect(await client.get(`${prefix}mark`)).toBe('kept')
  })

  it('makes a few trips for a batch of 500', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix())
    const trips = async (): Promise<number> => Number(/total_reads_processed:(\d+)/.exec(await client.info('stats'))?.[1])
    const before = await trips()
    await Promise.all(Array.from({ length: 500 }, (_, n) => store.run(observe(plan, requestOf(n, START_MS + n)))))
    // A trip of half a megabyte is read in several pieces of 16 KB or more.
    expect(await trips() - before).toBeLessThan(60)
  })

  it('keeps the value of a schedule that 20,000 ask for bounded', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix())
    await client.flushall()
    for (let n = 0; n < 20_000; n += 250) await Promise.all(Array.from({ length: 250 }, (_, i) => store.run(observe(plan, requestOf(n + i, START_MS + n + i)))))
    expect(await largestValue(client)).toBeLessThan(40_000)
  }, TIMEOUT_MS)

  it('keeps the value of an account bounded that 20,000 events are only written to', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix()), memory = new MemoryVelocityStore({ layout })
    await client.flushall()
    for (let n = 0; n < 20_000; n += 250) {
      const batch = Array.from({ length: 250 }, (_, i) => boundAt(START_MS + n + i))
      for (const event of batch) memory.run(observe(plan, event))
      await Promise.all(batch.map((event) => store.run(observe(plan, event))))
    }
    expect(await largestValue(client)).toBeLessThan(40_000)
    const reader = { ...requestOf(1, START_MS + 20_000), account: { token: tokenOf('binder') } }
    expect((await store.run(observe(plan, reader)))?.features).toEqual(memory.run(observe(plan, reader))?.features)
  }, TIMEOUT_MS)

  it('counts once what is tried again after a connection cut at any moment', async () => {
    if (!single) return
    const client = await connect(single.urls), saboteur = await connect(single.urls)
    const store = over(client, newPrefix()), memory = new MemoryVelocityStore({ layout })
    const id = await client.client('ID')
    let cut = id, faults = 0
    for (let n = 0; n < 60; n++) {
      const event = requestOf(n % 20, START_MS + (n % 20))
      for (let isDone = false; !isDone;) {
        const running = store.run(observe(plan, event))
        if (n % 4 === 0 && faults < n / 2) void saboteur.client('KILL', 'ID', cut).catch(() => undefined)
        isDone = await running.then(() => true, (fault: unknown) => { faults++; expect(fault).toMatchObject({ code: 'REDIS_UNREACHABLE' }); return false })
        while (!isDone && client.status !== 'ready') await new Promise((resolve) => setTimeout(resolve, 5))
        cut = await client.client('ID')
      }
      memory.run(observe(plan, event))
    }
    const last = { ...requestOf(0, START_MS + 30), eventId: 'last', orderId: 'last' }
    expect(faults).toBeGreaterThan(0)
    expect((await store.run(observe(plan, last)))?.features).toEqual(memory.run(observe(plan, last))?.features)
  }, TIMEOUT_MS)

  it('fails within its deadline when the server does not answer, and goes on when it does again', async () => {
    const own = await startRedis()
    if (!own) return
    try {
      const client = await connect(own.urls)
      const store = createRedisVelocityStore({ client, layout, prefix: 'x:', deadlineMs: 100 })
      await store.run(observe(plan, requestOf(1, START_MS)))
      await own.kill(0, 'SIGSTOP')
      const before = Date.now()
      await expect(store.run(observe(plan, requestOf(2, START_MS)))).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
      expect(Date.now() - before).toBeLessThan(1_000)
      await expect(store.ping()).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' })
      await own.kill(0, 'SIGCONT')
      await expect.poll(() => store.run(observe(plan, requestOf(3, START_MS))).then((seen) => seen?.features !== undefined, () => false), { timeout: 5_000 }).toBe(true)
    } finally {
      await own.stop()
    }
  }, TIMEOUT_MS)

  it('goes on with a server that has forgotten its scripts', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix()), memory = new MemoryVelocityStore({ layout })
    for (let from = 0; from < 600; from += 300) {
      const batch = Array.from({ length: 300 }, (_, n) => requestOf(from + n, START_MS + from + n))
      const expected = batch.map((event) => memory.run(observe(plan, event)))
      expect(await Promise.all(batch.map((event) => store.run(observe(plan, event))))).toEqual(expected)
      await client.script('FLUSH')
    }
  })

  it('lets every value run out some time', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix())
    await client.flushall()
    await store.run(observe(plan, requestOf(1, START_MS)))
    await store.run(observe(plan, requestOf(2, START_MS)))
    await store.run(observe(plan, boundAt(START_MS)))
    expect(await shortestLife(client)).toBeGreaterThan(layout.horizonMs / 1_000)
  })

  it('lets a value live on that something happens to on another day, whether or not anybody reads it', async () => {
    if (!single) return
    const client = await connect(single.urls), store = over(client, newPrefix()), nextDay = START_MS + 86_400_000
    for (const [first, next] of [[requestOf(1, START_MS), { ...requestOf(1, nextDay), eventId: 'next' }], [boundAt(START_MS), boundAt(nextDay)]] as const) {
      await client.flushall()
      await store.run(observe(plan, first))
      for (const key of await client.keysBuffer('*')) await client.expire(key, 60)
      await store.run(observe(plan, next))
      await expect.poll(() => shortestLife(client)).toBeGreaterThan(layout.horizonMs / 1_000)
    }
  })
})
