import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startKafka } from '../support/kafka.js'
import { createKey, freePort, openDataDir, startProduct, type Product, type Settings } from '../support/process.js'
import { startRedis } from '../support/redis.js'
import { startClickHouseServer, type ClickHouseServer } from './clickhouse-server.js'
import type { Part } from './part.js'
import { startPostgresServer } from './postgres-server.js'

/** A process of the product: what is asked of it goes to the same address in each of its lives. */
export interface Member extends Part {
  readonly url: string
  readonly settings: Settings
  readonly product: Product
  /** Of all its lives. */
  output(): string
}

export const SERVERS = ['broker', 'redis', 'postgres', 'clickhouse'] as const
export type ServerName = (typeof SERVERS)[number]

/** Two API processes and two stream workers over four real servers, each in a process of its own. */
export interface Site {
  apis: readonly Member[]
  workers: readonly Member[]
  servers: Readonly<Record<ServerName, Part>>
  clickhouse: ClickHouseServer
  brokers: string
  /** Empties Redis while it runs. */
  flushRedis(): Promise<void>
  /** Kills Redis and deletes its files. */
  burnRedis(): Promise<void>
  key(role: string): Promise<string>
  stop(): Promise<void>
}

export interface SiteOptions {
  /** More settings of each process. */
  settings?: Settings
  main?: string
}

const START_AGAIN_FOR_MS = 180_000
const START_AGAIN_MS = 300

/** Undefined (with a loud line) when a server cannot be had here; throws with CI=true. Everything it starts it ends. */
export async function openSite({ settings: more = {}, main }: SiteOptions): Promise<Site | undefined> {
  const [members, servers]: [Part[], Part[]] = [[], []]
  const keep = async <T extends Part>(list: Part[], starting: Promise<T>): Promise<T> => { const part = await starting; list.push(part); return part }
  // First the processes: each delivers what it can.
  const stop = async (): Promise<void> => { for (const list of [members, servers]) await Promise.all(list.splice(0).map((part) => part.stop())) }
  try {
    const broker = await startKafka()
    if (!broker) return undefined
    servers.push(fromServer(broker))
    const redis = await startRedis({ kept: true })
    if (!redis) { await stop(); return undefined }
    servers.push(fromServer(redis))
    const postgres = await keep(servers, startPostgresServer())
    const clickhouse = await keep(servers, startClickHouseServer())
    const [redisUrl = ''] = redis.urls
    const settings: Settings = {
      KAFKA_BROKERS: broker.brokers, REDIS_URL: redisUrl, DATABASE_URL: postgres.url, CLICKHOUSE_URL: clickhouse.url,
      ZHENHAO_TOKEN_KEY: randomBytes(32).toString('hex'), LOG_LEVEL: 'warn', ...more,
    }
    // All at once, so that they meet at the migrations and at the topics.
    const opening = ['api', 'api', 'stream', 'stream'].map((role) => keep(members, openMember(role, settings, main)))
    await Promise.allSettled(opening)
    const [first, second, third, fourth] = await Promise.all(opening)
    if (!first || !second || !third || !fourth) throw new Error('four processes are expected')
    return {
      apis: [first, second], workers: [third, fourth], servers: { broker: fromServer(broker), redis: fromServer(redis), postgres, clickhouse }, clickhouse, brokers: broker.brokers,
      async flushRedis() {
        const client = new Redis(redisUrl)
        await client.flushall()
        client.disconnect()
      },
      async burnRedis() {
        await redis.kill()
        await rm(join(redis.dir, 'appendonlydir'), { recursive: true, force: true })
      },
      key: (role) => createKey(role, first.settings, main),
      stop,
    }
  } catch (fault) {
    await stop()
    throw fault
  }
}

interface Server { kill(): Promise<void>; restart(): Promise<void>; stop(): Promise<void> }

/** On a busy machine a server may not answer within its own deadline: then it is started again. */
const fromServer = (server: Server): Part => ({
  kill: () => server.kill(), stop: () => server.stop(),
  start: () => server.restart().catch(() => server.restart()),
})

async function openMember(role: string, shared: Settings, main: string | undefined): Promise<Member> {
  const data = await openDataDir()
  const settings: Settings = { ...shared, ZHENHAO_DATA_DIR: data.path, PORT: await freePort() }
  const launch = (): Promise<Product> => startProduct(settings, main, ['--roles', role])
  const outputs: string[] = []
  let product = await launch()

  /** As a supervisor does: a process that ends because a server is away is started again until it stays. */
  async function start(): Promise<void> {
    for (const deadline = Date.now() + START_AGAIN_FOR_MS; ;) {
      try {
        product = await launch()
        return
      } catch (fault) {
        outputs.push(String(fault))
        if (Date.now() > deadline) throw fault
        await sleep(START_AGAIN_MS)
      }
    }
  }

  return {
    settings, start,
    get url() { return product.url },
    get product() { return product },
    output: () => [...outputs, product.output()].join(''),
    async kill() {
      await product.kill('SIGKILL')
      outputs.push(product.output())
    },
    async stop() {
      await product.stop()
      await data.remove()
    },
  }
}
