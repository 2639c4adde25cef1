import { ClickHouseError } from '@clickhouse/client'

/**
 * A fault of the history store. `retryable`: the same call may succeed later without anybody's help (a dead or slow
 * server, one short of memory or of replicas); otherwise a person has to change something first.
 * `code` is ClickHouse's name for it (`UNKNOWN_TABLE`), or `TIMEOUT`, `UNREACHABLE`, `CLOSED`, `NEWER_SCHEMA`.
 */
export class HistoryFault extends Error {
  constructor(message: string, readonly code: string, readonly retryable: boolean, options?: ErrorOptions) {
    super(message, options)
    this.name = 'HistoryFault'
  }
}

/** Conditions of the server that pass by themselves. Any other error it names is about our statement or its settings. */
const PASSING: ReadonlySet<string> = new Set([
  'TIMEOUT_EXCEEDED', 'SOCKET_TIMEOUT', 'NETWORK_ERROR', 'ALL_CONNECTION_TRIES_FAILED', 'QUERY_WAS_CANCELLED', 'ABORTED', 'SERVER_OVERLOADED',
  'TOO_MANY_SIMULTANEOUS_QUERIES', 'MEMORY_LIMIT_EXCEEDED', 'CANNOT_SCHEDULE_TASK', 'TOO_MANY_PARTS', 'NOT_ENOUGH_SPACE', 'QUOTA_EXCEEDED',
  'TABLE_IS_READ_ONLY', 'NO_ZOOKEEPER', 'KEEPER_EXCEPTION', 'UNKNOWN_STATUS_OF_INSERT', 'TOO_FEW_LIVE_REPLICAS', 'ALL_REPLICAS_ARE_STALE',
  'UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE', 'DEADLOCK_AVOIDED', 'CANNOT_ALLOCATE_MEMORY',
])

const REFUSED: ReadonlySet<string> = new Set(['AUTHENTICATION_FAILED', 'REQUIRED_PASSWORD', 'WRONG_PASSWORD', 'UNKNOWN_USER'])

/** Server errors quote the statement and the row they stopped at; this much is enough to see what is wrong. */
const MAX_MESSAGE_CHARS = 300

/**
 * Brings the errors of both roads (HTTP client, embedded engine) to one class.
 * `doing` says what was tried; `where` names the server without its password.
 */
export function toFault(error: unknown, doing: string, where: string): HistoryFault {
  if (error instanceof HistoryFault) return error
  const type = typeOf(error)
  const text = error instanceof Error ? error.message.slice(0, MAX_MESSAGE_CHARS) : 'unknown error'
  if (type !== undefined && REFUSED.has(type)) {
    return new HistoryFault(`${where} refused the user name or password (${type}) while ${doing}`, type, false, { cause: error })
  }
  if (type !== undefined) return new HistoryFault(`${where}: ${doing} failed: ${text.trim()} (${type})`, type, PASSING.has(type), { cause: error })
  if (/is closed/.test(text)) return new HistoryFault(`${where} was closed before ${doing}`, 'CLOSED', false, { cause: error })
  // Whatever has no ClickHouse code never came from the engine: sockets, name look-ups, proxies in between.
  return new HistoryFault(`${where} cannot be reached for ${doing}: ${text}`, 'UNREACHABLE', true, { cause: error })
}

/**
 * The embedded engine loads a second copy of the error class (chdb brings its own client-common), so `instanceof`
 * alone would miss half of them: both carry ClickHouse's name in `type`. An error of its inserts has it at the end of the text only.
 */
function typeOf(error: unknown): string | undefined {
  if (error instanceof ClickHouseError) return error.type
  if (!(error instanceof Error)) return undefined
  if ('type' in error && typeof error.type === 'string') return error.type
  if ('clickhouseCode' in error) return /\(([A-Z][A-Z0-9_]+)\)\s*$/.exec(error.message)?.[1]
  return undefined
}
