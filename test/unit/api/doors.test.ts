import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ANSWER_MS, connectRedis } from '../../../src/adapters/redis/connect.js'
import { DEFAULT_LIMITS, type Limits } from '../../../src/api/deps.js'
import { createDoors, type Doors, type Group, type Wait } from '../../../src/api/doors.js'
import { startRedis, startRedisCluster, type RedisServers } from '../../support/redis.js'

const closers: (() => unknown)[] = []
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

/** Doors of several processes over one Redis. */
async function doorsOver(servers: RedisServers, count: number, limits: Partial<Limits>): Promise<Doors[]> {
  const prefix = `${randomUUID()}:door:`
  return Promise.all(Array.from({ length: count }, async () => {
    const client = await connectRedis(servers.urls, () => undefined, ANSWER_MS)
    closers.push(() => { client.disconnect() })
    return createDoors({ ...DEFAULT_LIMITS, ...limits }, Date.now, { client, prefix })
  }))
}

interface Knocked { letIn: number; waits: Wait[]; tookMs: number }

/** `times` calls of one key at every door, `atOnce` side by side. */
async function knock(doors: readonly Doors[], group: Group, times: number, atOnce = times, key = 'k'): Promise<Knocked> {
  const startedAt = performance.now()
  const waits: Wait[] = []
  let letIn = 0
  await Promise.all(doors.map(async (door) => {
    for (let done = 0; done < times; done += atOnce) {
      for (const wait of await Promise.all(Array.from({ length: Math.min(atOnce, times - done) }, () => door.take(group, key)))) if (wait) waits.push(wait); else letIn++
    }
  }))
  return { letIn, waits, tookMs: performance.now() - startedAt }
}

/** Once more when a second may have ended in the middle: a window is a second long and began at some call. */
async function knockInOneWindow(attempt: () => Promise<Knocked>): Promise<Knocked> {
  for (let left = 5; ; left--) {
    const knocked = await attempt()
    if (knocked.tookMs < 800 || left === 0) return knocked
  }
}

const CASES = [{ name: 'a single Redis', start: startRedis }, { name: 'a Redis Cluster', start: startRedisCluster }]

describe.each(CASES)('doors over $name', ({ start }) => {
  let servers: RedisServers | undefined
  beforeAll(async () => { servers = await start() })
  afterAll(async () => { await servers?.stop() })

  it('let in as many calls of a key as one door alone, over all processes together', async (test) => {
    if (!servers) return test.skip()
    const doors = await doorsOver(servers, 2, { reviewPerSecond: 30 })
    const { letIn, waits } = await knockInOneWindow(() => knock(doors, 'review', 40, 40, randomUUID()))
    expect([letIn, waits.length]).toEqual([30, 50])
    for (const { limit, windowS, retryAfterMs } of waits) {
      expect([limit, windowS]).toEqual([30, 1])
      expect(retryAfterMs).toBeGreaterThan(0)
      expect(retryAfterMs).toBeLessThanOrEqual(1_000)
    }
    return undefined
  })

  it.each([600, 5])('let in exactly the limit of decisions, in blocks, %i calls at once', async (atOnce) => {
    if (!servers) return
    const over = servers
    const { letIn, waits } = await knockInOneWindow(async () => knock(await doorsOver(over, 2, { scorePerSecond: 333 }), 'score', 600, atOnce))
    // All blocks are handed out, the last one in part; what two processes got is used up.
    expect(letIn).toBe(333)
    expect(waits.every((w) => w.limit === 333 && w.windowS === 1 && w.retryAfterMs > 0 && w.retryAfterMs <= 1_000)).toBe(true)
  })

  it('never let in more than the limit and one block per process, seconds in a row', async (test) => {
    if (!servers) return test.skip()
    const doors = await doorsOver(servers, 2, { scorePerSecond: 200 })
    const startedAt = performance.now()
    let letIn = 0
    while (performance.now() - startedAt < 2_500) letIn += (await knock(doors, 'score', 50, 10)).letIn
    const windows = Math.ceil((performance.now() - startedAt) / 1_000) + 1
    expect(letIn).toBeLessThanOrEqual(windows * (200 + 2 * 50))
    expect(letIn).toBeGreaterThan(2 * 200)
    return undefined
  })

  it('share a small rate call by call', async (test) => {
    if (!servers) return test.skip()
    const [a, b] = await doorsOver(servers, 2, { scorePerSecond: 3 })
    expect([await a?.take('score', 'k'), await b?.take('score', 'k'), await a?.take('score', 'k')]).toEqual([undefined, undefined, undefined])
    expect(await b?.take('score', 'k')).toMatchObject({ limit: 3, windowS: 1 })
    expect(await b?.take('score', 'another')).toBeUndefined()
    return undefined
  })

  it('count calls without a known key together, and take back those that turn out good', async (test) => {
    if (!servers) return test.skip()
    const [a, b] = await doorsOver(servers, 2, { failuresPerMinute: 2 })
    expect([await a?.suspect('192.0.2.1'), await b?.suspect('192.0.2.1')]).toEqual([undefined, undefined])
    expect(await a?.suspect('192.0.2.1')).toMatchObject({ limit: 2, windowS: 60 })
    await b?.forgive('192.0.2.1')
    await b?.forgive('192.0.2.1')
    expect(await a?.suspect('192.0.2.1')).toBeUndefined()
    return undefined
  })

  it.each(['SIGSTOP', 'SIGKILL'] as const)('count for each process alone while Redis is away (%s), and soon answer', async (signal) => {
    // With all nodes of a Cluster standing still ioredis tries some calls again, for up to two seconds: they answer, but not soon.
    if (!servers || (signal === 'SIGSTOP' && servers.urls.length > 1)) return
    const nodes = servers.urls.map((_, node) => node)
    const doors = await doorsOver(servers, 2, { reviewPerSecond: 30, scorePerSecond: 100 })
    for (const node of nodes) await servers.kill(node, signal)
    try {
      // The first calls find out; later ones need not wait.
      await knock(doors, 'write', 1)
      const { letIn, tookMs } = await knock(doors, 'review', 40)
      expect(letIn).toBe(60)
      expect(tookMs).toBeLessThan(800)
      expect((await knock(doors, 'score', 150)).letIn).toBe(200)
    } finally {
      for (const node of nodes) await (signal === 'SIGSTOP' ? servers.kill(node, 'SIGCONT') : servers.restart(node))
    }
  })
})
