import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ANSWER_MS, connectRedis, type RedisClient } from '../../src/adapters/redis/connect.js'
import { createSeen } from '../../src/adapters/redis/seen.js'
import { startRedis, startRedisCluster, type RedisServers } from '../support/redis.js'

const closers: (() => unknown)[] = []
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

async function connected(urls: readonly string[], faults: string[] = []): Promise<RedisClient> {
  const client = await connectRedis(urls, (fault) => { faults.push(fault.message) }, ANSWER_MS)
  closers.push(() => { client.disconnect() })
  return client
}

/** One command per part of a cluster. */
const KEYS = Array.from({ length: 12 }, (_, n) => `connect:${n}`)
const setAll = (client: RedisClient): Promise<unknown> => Promise.all(KEYS.map((key) => client.set(key, '1')))

/** How long it takes until a command fails. */
async function failsWithinMs(client: RedisClient): Promise<number> {
  const startedAt = performance.now()
  await expect(setAll(client)).rejects.toThrow()
  return performance.now() - startedAt
}

async function recovers(client: RedisClient, ms = 15_000): Promise<void> {
  for (const giveUpAt = performance.now() + ms; ;) {
    if (await setAll(client).then(() => true, () => false)) return
    if (performance.now() > giveUpAt) throw new Error('it did not recover by itself')
    await delay(20)
  }
}
/** The answer's deadline, and a busy machine. */
const SOON_MS = ANSWER_MS + 200

const CASES = [{ name: 'a single Redis', start: startRedis }, { name: 'a Redis Cluster', start: startRedisCluster }]

describe.each(CASES)('a client of $name', ({ start }) => {
  let servers: RedisServers | undefined
  beforeAll(async () => { servers = await start() })
  afterAll(async () => { await servers?.stop() })

  it('fails within its time while a server is dead, and comes back by itself', async (test) => {
    if (!servers) return test.skip()
    const client = await connected(servers.urls)
    await setAll(client)
    await servers.kill(0)
    for (let i = 0; i < 4; i++) expect(await failsWithinMs(client)).toBeLessThan(SOON_MS)
    await servers.restart(0)
    await recovers(client)
    return undefined
  })

  it('fails within its time while a server is there and stands still, and comes back by itself', async (test) => {
    if (!servers) return test.skip()
    const client = await connected(servers.urls)
    await setAll(client)
    await servers.kill(0, 'SIGSTOP')
    for (let i = 0; i < 4; i++) expect(await failsWithinMs(client)).toBeLessThan(SOON_MS)
    await servers.kill(0, 'SIGCONT')
    await recovers(client)
    return undefined
  })

  it('waits at most five seconds for servers that are away at its start, fails at once, and connects when they come', async (test) => {
    if (!servers) return test.skip()
    const nodes = servers.urls.map((_, node) => node)
    for (const node of nodes) await servers.kill(node)
    const startedAt = performance.now(), faults: string[] = []
    const client = await connected(servers.urls, faults)
    expect(performance.now() - startedAt).toBeLessThan(6_000)
    expect(await failsWithinMs(client)).toBeLessThan(SOON_MS)
    if (nodes.length === 1) expect(faults.join()).toContain('ECONNREFUSED')
    for (const node of nodes) await servers.restart(node)
    await recovers(client)
    return undefined
  })

  it('says so, fails at once and shows no secret when the password is wrong, and connects once it is right', async (test) => {
    if (!servers) return test.skip()
    const admins = servers.urls.map((url) => new Redis(url))
    closers.push(async () => {
      for (const admin of admins) { await admin.config('SET', 'requirepass', ''); admin.disconnect() }
    })
    for (const admin of admins) await admin.config('SET', 'requirepass', 'right-one')
    const faults: string[] = []
    const client = await connected(servers.urls.map((url) => url.replace('://', '://:wrong-one@')), faults)
    expect(await failsWithinMs(client)).toBeLessThan(SOON_MS)
    expect(faults.length).toBeGreaterThan(0)
    expect(faults.join()).not.toContain('wrong-one')
    for (const admin of admins) await admin.config('SET', 'requirepass', 'wrong-one')
    await recovers(client)
    return undefined
  })

  it('takes user and password from the URL', async (test) => {
    if (!servers) return test.skip()
    for (const url of servers.urls) {
      const admin = new Redis(url)
      await admin.acl('SETUSER', 'zh', 'on', '>p@ss', '~*', '&*', '+@all')
      admin.disconnect()
    }
    const client = await connected(servers.urls.map((url) => url.replace('://', '://zh:p%40ss@')))
    await setAll(client)
    return undefined
  })

  it('claims an event id for exactly one of many, and forgets it in time', async (test) => {
    if (!servers) return test.skip()
    const prefix = `${randomUUID()}:`
    const all = await Promise.all([1, 2].map(() => connected(servers?.urls ?? [])))
    const claims = await Promise.all(all.flatMap((client) => Array.from({ length: 20 }, () => createSeen(client, prefix).claim('e-1', 'hash'))))
    expect(claims.filter((claim) => claim === 'new')).toHaveLength(1)
    expect(await createSeen(all[0] as RedisClient, prefix).claim('e-2', 'hash')).toBe('new')
    const ttl = await all[0]?.ttl(`${prefix}seen:e-1`) ?? 0
    expect(ttl).toBeGreaterThan(3_600)
    return undefined
  })
})

it('a client of nothing is a mistake', async () => {
  await expect(connectRedis([], () => undefined)).rejects.toThrow('no Redis URL')
})
