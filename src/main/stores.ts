import { randomUUID } from 'node:crypto'
import { openHistory } from '../adapters/clickhouse/history-store.js'
import { secretFile, type DataDir } from '../adapters/file/data-dir.js'
import { createKafkaEventLog } from '../adapters/kafka/event-log.js'
import { createMemoryEventLog } from '../adapters/memory/event-log.js'
import type { Logger } from '../adapters/pino/log.js'
import { startEmbeddedPostgres } from '../adapters/postgres/embedded.js'
import { migrate } from '../adapters/postgres/migrate.js'
import { createPool, type Pool } from '../adapters/postgres/pool.js'
import type { Config } from '../config.js'
import type { EventLog } from '../ports/event-log.js'
import type { HistoryStore } from '../ports/history-store.js'

/** The stores that every process has, opened and migrated. */
export interface Stores {
  tokenKey: Uint8Array
  history: HistoryStore
  pool: Pool
  databaseUrl: string
  eventLog: EventLog
  /** What was opened, to be closed the last first; whoever opens more puts it here. */
  closers: Closers
  close(): Promise<void>
}

/** What to close, in the order of opening. */
export type Closers = (() => Promise<void>)[]

const MEMORY_LOG_MESSAGES = 10_000

/** Opens all stores, each as a server or embedded as configured, side by side. Rejects with what could not be opened. */
export async function openStores(config: Config, data: DataDir, log: Logger): Promise<Stores> {
  const closers: Closers = []
  const close = async (): Promise<void> => { for (const closer of closers.splice(0).reverse()) await closer() }
  try {
    const history = openClickhouse(config, data, closers)
    const [tokenKey, database, eventLog] = await allSettled([
      config.tokenKey ?? secretFile(data.path('token-key')),
      openDatabase(config, data, log, closers),
      openEventLog(config, log, closers),
      history.migrate(),
    ])
    return { tokenKey, history, ...database, eventLog, closers, close }
  } catch (fault) {
    await close().catch(() => undefined)
    throw fault
  }
}

/** Like Promise.all, but rejects only when all are done: what is still opening could not be closed. */
async function allSettled<T extends readonly unknown[]>(parts: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(parts)
  return Promise.all(parts)
}

/** ClickHouse, not yet migrated: the configured server, or the engine in this process. */
export function openClickhouse(config: Pick<Config, 'clickhouseUrl'>, data: Pick<DataDir, 'path'>, closers: Closers): HistoryStore {
  const history = openHistory(config.clickhouseUrl === undefined ? { path: data.path('clickhouse') } : { url: config.clickhouseUrl })
  closers.push(() => history.close())
  return history
}

/** PostgreSQL, migrated: the configured server, or the embedded one in the data directory. */
export async function openDatabase(config: Pick<Config, 'databaseUrl'>, data: Pick<DataDir, 'path'>, log: Logger, closers: Closers): Promise<Pick<Stores, 'pool' | 'databaseUrl'>> {
  const databaseUrl = config.databaseUrl ?? await embedded(data, log, closers)
  await migrate(databaseUrl, log).catch(named('PostgreSQL cannot be used'))
  const pool = createPool(databaseUrl, log)
  closers.push(() => pool.end())
  return { pool, databaseUrl }
}

async function embedded(data: Pick<DataDir, 'path'>, log: Logger, closers: Closers): Promise<string> {
  const server = await startEmbeddedPostgres(data.path('postgres'), log)
  closers.push(() => server.stop())
  return server.connectionString
}

export async function openEventLog(config: Pick<Config, 'kafkaBrokers'>, log: Logger, closers: Closers): Promise<EventLog> {
  const eventLog = config.kafkaBrokers
    ? createKafkaEventLog({ brokers: config.kafkaBrokers, clientId: `zhenhao-${randomUUID().slice(0, 8)}`, log, onCrash: (error) => { log.warn({ error: error.message }, 'a Kafka consumer broke down and is started again') } })
    : createMemoryEventLog({ maxMessagesPerTopic: MEMORY_LOG_MESSAGES })
  closers.push(() => eventLog.close())
  await eventLog.ensureTopics().catch(named('Kafka cannot be used'))
  return eventLog
}

/** A driver's own words do not say which server they are about. */
const named = (what: string) => (fault: unknown): never => { throw new Error(what, { cause: fault }) }
