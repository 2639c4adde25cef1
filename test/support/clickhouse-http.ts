import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGunzip, gzipSync } from 'node:zlib'
import { createChdbConnection } from 'chdb/connection'

export interface ClickHouseHttp {
  /** `http://user:password@127.0.0.1:port` */
  readonly url: string
  /** What the server saw, oldest first. */
  readonly seen: { sql: string; settings: Record<string, string>; gzip: boolean }[]
  /** How the server behaves from now on. `deaf`: it does the work, and drops the line instead of answering. */
  mood: { delayMs?: number; status?: number; deaf?: boolean }
  /** Drops all lines and listens no more; what was stored stays. */
  die(): Promise<void>
  /** Listens again on the port it had. */
  revive(): Promise<void>
  close(): Promise<void>
}

/** Parameters of the URL that the HTTP layer keeps to itself. */
const NOT_SETTINGS = /^(query|query_id|database|role|session_id|wait_end_of_query|send_progress_in_http_headers|enable_http_compression)$/

/** An insert whose rows are the body. */
const ROWS = /^INSERT INTO ([\w.]+) \(([^)]*)\) FORMAT TabSeparated\s*$/

/**
 * ClickHouse's HTTP interface in front of the real engine (chdb): authentication, gzip both ways, settings and
 * parameters in the URL, errors with code and type. There is no server to be had here; the road to one is travelled all the same.
 * `path` may be a directory that this process has open already; `port` is any free one unless told.
 */
export async function startClickHouseHttp({ path, password, port = 0 }: { path: string; password: string; port?: number }): Promise<ClickHouseHttp> {
  const user = 'zhenhao'
  const engine = createChdbConnection({ path })
  const seen: ClickHouseHttp['seen'] = []
  let server: Server | undefined

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname === '/ping') { response.end('Ok.\n'); return }
    const { delayMs = 0, status, deaf = false } = http.mood
    await sleep(delayMs)
    if (status !== undefined) { response.writeHead(status).end('upstream says no'); return }
    if (!allowed(request, user, password)) {
      fail(response, 403, `Code: 516. DB::Exception: ${user}: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)`)
      return
    }
    const gzip = request.headers['content-encoding'] === 'gzip'
    const body = await buffer(gzip ? request.pipe(createGunzip()) : request)
    const query = searchParams.get('query')
    const settings = Object.fromEntries([...searchParams].filter(([name]) => !NOT_SETTINGS.test(name)))
    seen.push({ sql: query ?? body.toString(), settings, gzip })
    try {
      const bytes = await run(query, body, settings)
      if (deaf) { request.socket.destroy(); return }
      const zip = request.headers['accept-encoding']?.includes('gzip') === true && searchParams.get('enable_http_compression') === '1'
      if (zip) response.setHeader('content-encoding', 'gzip')
      response.end(zip ? gzipSync(bytes) : bytes)
    } catch (error) {
      fail(response, 500, error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error))
    }
  }

  /** What the engine answers. `query` is undefined when the body is the statement. */
  async function run(query: string | null, body: Buffer, settings: Readonly<Record<string, string>>): Promise<Buffer> {
    const [, table, columns] = (query !== null && body.length > 0 && ROWS.exec(query)) || []
    if (table !== undefined && columns !== undefined) {
      // Rows stay bytes, or passing them on would look like the server's own work; the first line ends the search for the end of the statement.

      const values = Buffer.concat([Buffer.from("'\n"), body])
      await engine.chdb.rawInsert({ table, columns: columns.split(/, */).map((name) => name.replaceAll('`', '')), format: 'TabSeparated', values, settings: { ...settings, input_format_tsv_skip_first_lines: 1 } })
      return Buffer.alloc(0)
    }
    // Settings and parameters become SET statements, in whose literals a backslash counts for two.
    // The engine keeps them from one statement to the next; a server does not.
    const literals = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, value.replaceAll('\\', '\\\\')]))
    const sql = [query, body.toString()].filter(Boolean).join('\n')
    const result = await engine.query({ query: sql, clickhouse_settings: { insert_deduplication_token: '', ...literals } })
    return Buffer.from(await text(result.stream))
  }

  async function listen(): Promise<void> {
    const next = createServer((request, response) => {
      answer(request, response).catch((error: unknown) => { fail(response, 500, String(error)) })
    })
    server = next
    await new Promise<void>((resolve, reject) => { next.once('error', reject).listen(port, '127.0.0.1', resolve) })
    port = (next.address() as AddressInfo).port
  }

  async function die(): Promise<void> {
    const last = server
    if (last === undefined) return
    server = undefined
    const closed = new Promise((resolve) => { last.close(resolve) })
    last.closeAllConnections()
    await closed
  }

  await listen()
  const http: ClickHouseHttp = {
    url: `http://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}`, seen, mood: {}, die, revive: listen,
    close: async () => { await die(); await engine.close() },
  }
  return http
}

/** Both ways a client may name itself: basic authentication, or ClickHouse's own headers. */
function allowed({ headers }: IncomingMessage, user: string, password: string): boolean {
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  return headers.authorization === basic || (headers['x-clickhouse-user'] === user && headers['x-clickhouse-key'] === password)
}

function fail(response: ServerResponse, status: number, message: string): void {
  const code = /Code: (\d+)/.exec(message)?.[1]
  response.writeHead(status, code === undefined ? {} : { 'x-clickhouse-exception-code': code }).end(message)
}
