import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Log } from './pool.js'

export interface LeaderOptions {
  connectionString: string
  /** What is done by one process at a time; the same in all of them. */
  name: string
  /** Begins the work, once the lock is had; `over` tells a start that takes long. `stop` must end it at once: what is unfinished is the next leader's. */
  start: (over: AbortSignal) => Promise<{ stop(): Promise<void> }>
  log: Log
  /** How often the lock is tried for, and held on to. */
  heartbeatMs?: number
}

export interface Leader {
  readonly leading: boolean
  /** Ends the work, then gives the lock up. */
  stop(): Promise<void>
}

const HEARTBEAT_MS = 400
/**
 * A heartbeat that has no answer for this many beats ends the work here; after one more the server ends the session, and with it
 * the lock. So the holder is gone before another begins, unless its whole process stands still: then its positions are
 * refused (positions.ts), and whatever it had begun its successor repeats under the same token.
 */
const LOST_BEATS = 3
const CONNECT_MS = 2_000

/** Does work in one of several processes: the one that holds a session lock of PostgreSQL, on a connection of its own. */
export function runAsLeader({ connectionString, name, start, log, heartbeatMs = HEARTBEAT_MS }: LeaderOptions): Leader {
  const stopped = new AbortController()
  let leading = false
  const running = run()

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      await reign().catch((fault: unknown) => { if (!stopped.signal.aborted) log.warn({ work: name, error: messageOf(fault) }, 'the lead could not be taken; it is tried again') })
      await pause(stopped.signal)
    }
  }

  /** From connecting to losing the connection. */
  async function reign(): Promise<void> {
    const client = new pg.Client({
      connectionString, application_name: `zhenhao-leader-${name}`, connectionTimeoutMillis: CONNECT_MS,
      query_timeout: heartbeatMs * (LOST_BEATS - 1), keepAlive: true, keepAliveInitialDelayMillis: 1_000,
    })
    const lost = new AbortController()
    client.on('error', () => { lost.abort() })
    client.on('end', () => { lost.abort() })
    try {
      await client.connect()
      await client.query(`SET idle_session_timeout = ${heartbeatMs * (LOST_BEATS + 1)}`)
      const over = AbortSignal.any([stopped.signal, lost.signal])
      while (!over.aborted && !(await takes(client))) await pause(over)
      if (!over.aborted) await lead(client, over)
    } finally {
      // A dead line is not waited for.
      await Promise.race([client.end().catch(() => undefined), sleep(heartbeatMs)])
    }
  }

  const takes = async (client: pg.Client): Promise<boolean> =>
    (await client.query<{ taken: boolean }>("SELECT pg_try_advisory_lock(hashtextextended('zhenhao ' || $1, 0)) AS taken", [name])).rows[0]?.taken === true

  async function lead(client: pg.Client, over: AbortSignal): Promise<void> {
    const lost = new AbortController()
    const ended = holdOn(client, over).then(() => { leading = false; lost.abort() })
    leading = true
    log.info({ work: name }, 'this process leads now')
    try {
      const work = await start(lost.signal)
      await ended
      await work.stop()
    } finally {
      leading = false
      log.info({ work: name }, 'this process leads no more')
    }
  }

  /** Resolves when the lock is lost, or is to be given up. */
  async function holdOn(client: pg.Client, over: AbortSignal): Promise<void> {
    const beat = (): Promise<boolean> => client.query('SELECT 1').then(() => true, () => false)
    do await pause(over)
    while (!over.aborted && await beat())
  }

  const pause = (until: AbortSignal): Promise<void> => sleep(heartbeatMs, undefined, { signal: until }).catch(() => undefined)

  return {
    get leading() { return leading },
    async stop() {
      stopped.abort()
      await running
    },
  }
}

const messageOf = (fault: unknown): string => (fault instanceof Error ? fault.message : 'unknown fault')
