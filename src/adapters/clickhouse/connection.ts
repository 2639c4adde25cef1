import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { ClickHouseLogLevel, createClient, type ClickHouseClient, type ClickHouseClientConfigOptions } from '@clickhouse/client'
import type * as Chdb from 'chdb/connection'
import { HistoryFault, toFault } from './faults.js'
import type { Shape } from './rows.js'
import { checkName } from './schema.js'
import { pack } from './tab-separated.js'

/** What an insert needs on either road. */
const INSERT_SETTINGS = {
  max_insert_threads: '1',
  input_format_parallel_parsing: 0,
  async_insert: 0,
  // A back-fill of years in one batch touches many months.
  max_partitions_per_insert_block: '0',
  // Through a Distributed table an insert is acknowledged when its shards have it.
  distributed_foreground_insert: 1,
} as const

/**
 * The engine shares two cores and a few gigabytes with everything else of an embedded process. Part of the statement's
 * text: the client would send them to the embedded engine as one `SET` statement each, half a millisecond apiece.
 */
const SELECT_SETTINGS = `SETTINGS max_threads = 2, max_memory_usage = 1000000000, max_bytes_before_external_group_by = 256000000,
  max_bytes_before_external_sort = 256000000, output_format_json_quote_64bit_integers = 0`

export interface ConnectionOptions {
  /**
   * `http(s)://user:password@host:port[/database][?compress=1]` of a server. Without it the engine runs in this process.
   * Compressing (gzip) costs a processor more than a network of its own saves: it is for far servers.
   */
  url?: string
  /** Data directory of the embedded engine; absent: a temporary one. One directory per process, held until close. */
  path?: string
  /** `zhenhao` unless the URL or this says otherwise. */
  database?: string
  /** Bound of every statement in milliseconds. */
  timeoutMs?: number
}

const DEFAULT_TIMEOUT_MS = 30_000

/** Either engine: statements are bounded in time, and every error is a HistoryFault. */
export interface Connection {
  readonly database: string
  /** Names the engine in messages, without user and password. */
  readonly where: string
  command: (doing: string, query: string) => Promise<void>
  /** Rows as arrays, in the order of the selected columns. */
  select: <T>(doing: string, query: string, params?: Record<string, unknown>) => Promise<T[]>
  /** One insert of a row per item; the same `token` on the same table again is a no-op. Nothing happens without items. */
  insert: <T>(table: string, token: string, items: readonly T[], shape: Shape<T>) => Promise<void>
  ping: () => Promise<void>
  close: () => Promise<void>
}

/** Opens without talking to the server. Throws HistoryFault on a URL or directory that cannot be used, RangeError on a bad database name. */
export function connect(options: ConnectionOptions): Connection {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const { client, where, database, opening, insert } = options.url === undefined ? embedded(options) : remote(options.url, timeoutMs, options.database)
  const run = async <T>(doing: string, statement: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      return await statement(signal)
    } catch (error) {
      if (!signal.aborted) throw toFault(error, doing, where)
      throw new HistoryFault(`${where}: ${doing} took longer than ${timeoutMs} ms`, 'TIMEOUT', true, { cause: error })
    }
  }
  return {
    database: checkName('database', database), where,
    command: async (doing, query) => { await run(doing, (abort_signal) => client.command({ query, abort_signal })) },
    select: (doing, query, query_params = {}) => run(doing, async (abort_signal) =>
      (await client.query({ query: `${query} ${SELECT_SETTINGS}`, query_params, format: 'JSONCompactEachRow', abort_signal })).json()),
    insert: async (table, token, items, { columns, toRow }) => {
      if (items.length === 0) return
      await run(`inserting ${items.length} rows into ${table}`, async (signal) =>
        insert({ table, token, columns, rows: await pack(items, toRow, opening, signal), signal }))
    },
    ping: () => run('a ping', async (abort_signal) => {
      const answer = await client.ping({ select: true, abort_signal })
      if (!answer.success) throw answer.error
    }),
    close: () => client.close(),
  }
}

/** Every failure is thrown as a fault; the client would print it to the console besides. */
const SILENT = { level: ClickHouseLogLevel.OFF }

/** `rows`: TabSeparated text, with the `opening` before it. */
interface Insert { table: string; token: string; columns: Shape<unknown>['columns']; rows: Buffer; signal: AbortSignal }
interface Opened { client: ClickHouseClient; where: string; database: string; opening: Buffer; insert: (insert: Insert) => Promise<unknown> }
type ClientConnection = NonNullable<ClickHouseClientConfigOptions['connection']>

/**
 * chdb looks for the end of a statement in its rows too, token by token as if they were SQL: 25 us for a booking. At a quote
 * that does not end, it gives up looking. The line is skipped when the rows are read.
 */
const UNENDING_QUOTE = Buffer.from("'\n")

function embedded({ path, database = 'zhenhao' }: ConnectionOptions): Opened {
  const where = 'the embedded ClickHouse'
  const connection = openDirectory(path, where)
  // chdb types its connection with its own copy of the client's types; they differ in one class that nobody passes.
  const client = createClient({ connection: connection as unknown as ClientConnection, log: SILENT })
  return {
    client, where, database, opening: UNENDING_QUOTE,
    // The client would hand over one long string, and copying it stops the event loop for 6 ms per megabyte; bytes are not copied.
    insert: ({ table, token, columns, rows, signal }) => {
      const settings = { ...INSERT_SETTINGS, input_format_tsv_skip_first_lines: 1, insert_deduplication_token: token }
      return connection.chdb.rawInsert({ table, columns: [...columns], format: 'TabSeparated', values: rows, settings, signal })
    },
  }
}

type ChdbConnection = ReturnType<typeof Chdb.createChdbConnection>

function openDirectory(path: string | undefined, where: string): ChdbConnection {
  try {
    // Loaded when it is wanted: the engine takes 160 MB and half a gigabyte of disk, which a process with a server need not have.
    const { createChdbConnection } = createRequire(import.meta.url)('chdb/connection') as typeof Chdb
    return createChdbConnection(path === undefined ? {} : { path })
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown error'
    throw new HistoryFault(`${where} cannot open its data directory (is another process using it?): ${why}`, 'OPEN', false, { cause: error })
  }
}

function remote(text: string, timeoutMs: number, database?: string): Opened {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new HistoryFault('CLICKHOUSE_URL is not an http(s) URL', 'BAD_URL', false)
  const named = decodeURIComponent(url.pathname.slice(1))
  const compress = url.searchParams.get('compress') === '1'
  const client = createClient({
    url: `${url.protocol}//${url.host}`, username: decodeURIComponent(url.username) || 'default', password: decodeURIComponent(url.password),
    compression: { request: compress, response: compress }, request_timeout: timeoutMs, application: 'zhenhao', log: SILENT,
  })
  return {
    client, where: `ClickHouse at ${url.host}`, database: database ?? (named || 'zhenhao'), opening: Buffer.alloc(0),
    insert: ({ table, token, columns: [first, ...others], rows, signal }) => client.insert({
      table, columns: [first, ...others], format: 'TabSeparated', values: Readable.from([rows], { objectMode: false }),
      clickhouse_settings: { ...INSERT_SETTINGS, insert_deduplication_token: token }, abort_signal: signal,
    }),
  }
}
