import pg from 'pg'

export type Pool = pg.Pool

/** What these adapters need of a logger; pino's has it. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const CONNECT_MS = 5_000
const STATEMENT_MS = 10_000
/** Longer than the server's own limit: only a dead line gets here. */
const ANSWER_MS = STATEMENT_MS + 2_000

/** SQLSTATE: serialization failure, deadlock. The same work, done again, succeeds. */
const AGAIN = new Set(['40001', '40P01'])
const TRIES = 5

/** A pool with limits on every wait. A connection that dies while idle is logged, never thrown. */
export function createPool(connectionString: string, log: Log, max = 10): pg.Pool {
  const pool = new pg.Pool({
    connectionString, max, keepAlive: true, application_name: 'zhenhao',
    connectionTimeoutMillis: CONNECT_MS, statement_timeout: STATEMENT_MS, query_timeout: ANSWER_MS, idle_in_transaction_session_timeout: ANSWER_MS,
  })
  pool.on('error', (error) => { log.warn({ error: error.message }, 'an idle PostgreSQL connection was lost') })
  return pool
}

const mayRepeat = (error: unknown): boolean => error instanceof pg.DatabaseError && AGAIN.has(error.code ?? '')

/** Runs `work` in one transaction, again when the server chose it as a deadlock's victim. `work` must have no other effects. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  for (let left = TRIES - 1; ; left--) {
    try {
      return await transaction(pool, work)
    } catch (error) {
      if (left === 0 || !mayRepeat(error)) throw error
    }
  }
}

async function transaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // While a client is out of the pool its errors are its own; the query in hand rejects as well, so this one is only kept from crashing us.
  const ignore = (): void => undefined
  client.on('error', ignore)
  let broken = false
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(() => { broken = true })
    throw error
  } finally {
    client.off('error', ignore)
    client.release(broken)
  }
}
