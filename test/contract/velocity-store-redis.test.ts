import { afterAll, describe } from 'vitest'
import type { RedisClient } from '../../src/adapters/redis/connect.js'
import { connectRedis } from '../../src/adapters/redis/connect.js'
import { createRedisVelocityStore } from '../../src/adapters/redis/velocity-store.js'
import type { LogLayout } from '../../src/domain/packed-log.js'
import type { VelocityStore } from '../../src/ports/velocity-store.js'
import { startRedis, startRedisCluster } from '../support/redis.js'
import { velocityStoreSuite } from './suites/velocity-store.js'

const single = await startRedis(), cluster = await startRedisCluster()
const clients: RedisClient[] = []

/** A store on keys of its own each time. */
async function creating(urls: readonly string[]): Promise<(layout: LogLayout) => Promise<VelocityStore>> {
  const client = await connectRedis(urls, () => undefined)
  clients.push(client)
  let made = 0
  return (layout) => Promise.resolve(createRedisVelocityStore({ client, layout, prefix: `t${++made}:`, deadlineMs: 5_000 }))
}

afterAll(async () => {
  for (const client of clients) client.disconnect()
  await single?.stop()
  await cluster?.stop()
})

describe.skipIf(!single)('Redis', async () => {
  if (single) velocityStoreSuite('a single Redis', await creating(single.urls), 400)
})

describe.skipIf(!cluster)('Redis Cluster', async () => {
  if (cluster) velocityStoreSuite('a Redis Cluster', await creating(cluster.urls), 200)
})
