import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.js'
import { startKafka } from '../support/kafka.js'
import { startRedis } from '../support/redis.js'
import type { BenchOptions } from './figures.js'
import { childWith, cpuUsOf, cpuUsOfTree, outputOf, scratchDir, startServe, type Product } from './processes.js'
import { profilingOptions } from './profile.js'

/** What a booking or an event cost each process, microseconds of CPU. `node`: all threads of the product. */
export type CpuUs = Record<'node main thread' | 'node' | 'redis' | 'postgres' | 'kafka' | 'clickhouse', number>

/** Kafka, Redis, PostgreSQL and ClickHouse as servers on loopback, all empty, and processes of the product over them. */
export interface Servers {
  brokers: string
  redisUrl: string
  /** A process with these roles; ready, its counters whole. `name` is of its profile, when there is to be one. */
  start(roles: string, options?: BenchOptions, name?: string): Promise<Product>
  /** A new API key's secret. */
  key(role: string): Promise<string>
  /** CPU time used so far. */
  cpuUs(product: Product): CpuUs
  stop(): Promise<void>
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined }
const WHOLE_WITHIN_MS = 30_000

/** Throws, after stopping what it started, when one of them cannot be had. */
export async function startServers(): Promise<Servers> {
  const dir = scratchDir()
  // The server's own system user must be able to walk in.
  chmodSync(dir.path, 0o711)
  const closers: (() => Promise<void>)[] = [() => { dir.close(); return Promise.resolve() }]
  const stop = async (): Promise<void> => { for (const close of closers.splice(0).reverse()) await close() }
  try {
    const clickhouse = await startClickHouse(join(dir.path, 'clickhouse'), closers)
    const postgres = await startEmbeddedPostgres(join(dir.path, 'postgres'), quiet)
    closers.push(() => postgres.stop())
    const redis = await startRedis()
    if (!redis) throw new Error('this row needs redis-server')
    closers.push(() => redis.stop())
    const kafka = await startKafka()
    if (!kafka) throw new Error('this row needs Kafka (Java 17 and Maven)')
    closers.push(() => kafka.stop())
    const pids = { redis: childWith('redis-server'), postgres: childWith('postgres -D'), kafka: childWith('kafka.Kafka'), clickhouse: clickhouse.pid }
    const redisUrl = redis.urls[0] ?? ''
    const settings = {
      KAFKA_BROKERS: kafka.brokers, REDIS_URL: redisUrl, CLICKHOUSE_URL: clickhouse.url, DATABASE_URL: postgres.connectionString,
      ZHENHAO_TOKEN_KEY: randomBytes(32).toString('hex'),
    }
    let started = 0
    return {
      brokers: kafka.brokers, redisUrl, stop,
      async start(roles, options, name = '') {
        const dataDir = join(dir.path, `data-${++started}`)
        await mkdir(dataDir)
        const product = await startServe(dataDir, settings, ['--roles', roles], options ? profilingOptions(options, name) : [])
        closers.push(() => product.stop('SIGKILL'))
        await untilWhole(product)
        return product
      },
      async key(role) {
        const printed = await outputOf(['keys', 'create', '--role', role, '--json'], { ...settings, ZHENHAO_DATA_DIR: join(dir.path, 'keys') })
        return (JSON.parse(printed) as { secret: string }).secret
      },
      cpuUs: ({ pid }) => {
        const { all, main } = cpuUsOf(pid)
        const { redis, postgres, kafka, clickhouse } = pids
        return {
          'node main thread': main, node: all, redis: cpuUsOfTree(redis), postgres: cpuUsOfTree(postgres), kafka: cpuUsOfTree(kafka), clickhouse: cpuUsOfTree(clickhouse),
        }
      },
    }
  } catch (fault) {
    await stop()
    throw fault
  }
}

async function startClickHouse(path: string, closers: (() => Promise<void>)[]): Promise<{ url: string; pid: number }> {
  await mkdir(path)
  const child = fork(join(import.meta.dirname, 'clickhouse-server.js'), [path, randomBytes(12).toString('hex')])
  closers.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const failed = once(child, 'exit').then(([code]) => { throw new Error(`the ClickHouse engine ended with ${String(code)}`) })
  failed.catch(() => undefined) // its end is in the closers
  const [{ url }] = await Promise.race([once(child, 'message'), failed]) as [{ url: string }]
  return { url, pid: child.pid ?? 0 }
}

/** Decisions made before the counters are whole are marked degraded, and cost less. */
async function untilWhole({ url }: Product): Promise<void> {
  for (const deadline = Date.now() + WHOLE_WITHIN_MS; ;) {
    const { checks } = await (await fetch(`${url}/readyz`)).json() as { checks: Record<string, { ok: boolean; detail?: string }> }
    const bad = Object.entries(checks).filter(([, { ok }]) => !ok)
    if (bad.length === 0) return
    if (Date.now() > deadline) throw new Error(`the product is not well: ${bad.map(([part, { detail }]) => `${part} ${detail ?? ''}`).join('; ')}`)
    await sleep(50)
  }
}

/** CPU per `count` of something between two looks. */
export function cpuBetween(before: CpuUs, after: CpuUs, count: number): CpuUs {
  const each = (part: keyof CpuUs): number => (after[part] - before[part]) / count
  return { 'node main thread': each('node main thread'), node: each('node'), redis: each('redis'), postgres: each('postgres'), kafka: each('kafka'), clickhouse: each('clickhouse') }
}

/** Waits until all that was decided is published and in history, as the one of them says that does it. Returns how long that took, ms. */
export async function untilDelivered(products: readonly Product[], withinMs = 120_000): Promise<number> {
  const began = performance.now()
  for (;;) {
    const lags = (await Promise.all(products.map(lagOf))).filter((lag) => !Number.isNaN(lag))
    if (lags.length > 0 && lags.every((lag) => lag === 0)) return performance.now() - began
    if (performance.now() - began > withinMs) throw new Error(`${lags.join(' and ') || 'nobody says how many'} records are still not delivered after ${withinMs} ms`)
    await sleep(100)
  }
}

/** NaN where another process delivers. */
async function lagOf({ url }: Product): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return ['history_lag', 'publish_lag'].reduce((sum, name) => sum + Number(new RegExp(`^zhenhao_${name} (\\d+)`, 'm').exec(metrics)?.[1] ?? NaN), 0)
}
