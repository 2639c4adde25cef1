import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Recorded } from '../../domain/record.js'
import type { HistoryStore } from '../../ports/history-store.js'
import { connect, type Connection, type ConnectionOptions } from './connection.js'
import { migrate } from './migrate.js'
import {
  DECISIONS, DECISION_COLUMNS, EVENTS, EVENT_COLUMNS, HOLDS, RESOLUTIONS, isDecided, isHeld, recordedOf, type StoredDecision, type StoredEvent,
} from './rows.js'
import { DEFAULT_RETENTION, checkName, type Layout, type Retention } from './schema.js'

export { HistoryFault } from './faults.js'

export interface HistoryOptions extends ConnectionOptions {
  retention?: Partial<Retention>
  /** Name of the ClickHouse cluster: tables become replicated and distributed over it. */
  replicated?: { cluster: string }
}

/** Events fetched at once by `read`: some 10 MB of JSON with their decisions, unpacked in one go. */
const PAGE_ROWS = 2_000

/** Rows parsed before the event loop gets its turn: about 10 ms of work. */
const ROWS_PER_TURN = 200

/**
 * The history in ClickHouse: a server (`url`) or the same engine in this process (`path`), with the same statements.
 * Every method rejects with a HistoryFault, whose `retryable` says whether trying again can help.
 */
export function openHistory(options: HistoryOptions): HistoryStore {
  const connection = connect(options)
  const { database } = connection
  const layout: Layout = {
    database, retention: { ...DEFAULT_RETENTION, ...options.retention },
    ...(options.replicated && { cluster: checkName('cluster', options.replicated.cluster) }),
  }
  return {
    migrate: () => migrate(connection, layout),
    insert: async (token, batch) => {
      const unique = `${token}:${fingerprint(batch.map((r) => `${r.seq} ${r.bodyHash} ${r.event.eventId}`))}`
      const decided = batch.filter(isDecided)
      await connection.insert(`${database}.decisions`, `${unique}:decisions`, decided, DECISIONS)
      await connection.insert(`${database}.holds`, `${unique}:holds`, decided.filter(isHeld), HOLDS)
      // Events last: what `find` shows has its decision and hold in place.
      await connection.insert(`${database}.events`, `${unique}:events`, batch, EVENTS)
    },
    insertResolutions: (token, batch) =>
      connection.insert(`${database}.holds`, `${token}:${fingerprint(batch.map((end) => end.hold_id))}:resolutions`, batch, RESOLUTIONS),
    find: (eventId) => find(connection, eventId),
    read: (fromSeq) => read(connection, fromSeq),
    ping: () => connection.ping(),
    close: () => connection.close(),
  }
}

/**
 * Part of each token, because a token alone may come again by mistake: from a second process with a journal of its own,
 * or after a data directory was replaced. Other rows under an old token would otherwise vanish without a word.
 */
const fingerprint = (keys: readonly string[]): string => createHash('sha256').update(keys.join('\n')).digest('base64url').slice(0, 22)

/** Look-ups by key, milliseconds at any size: the projection gives the newest `seq` of the id, the tables their rows. */
async function find(connection: Connection, eventId: string): Promise<Recorded | undefined> {
  const { database } = connection
  const newest = `SELECT argMax(seq, (accepted_at, seq)) FROM ${database}.events WHERE event_id = {id:String}`
  const [event] = await connection.select<StoredEvent>('finding an event', `SELECT ${EVENT_COLUMNS} FROM ${database}.events
    WHERE seq = (${newest}) AND event_id = {id:String} LIMIT 1`, { id: eventId })
  if (event === undefined) return undefined
  const [decision] = await connection.select<StoredDecision>('finding a decision', `SELECT ${DECISION_COLUMNS} FROM ${database}.decisions
    WHERE seq = {seq:UInt64} AND event_id = {id:String} LIMIT 1`, { seq: event[0], id: eventId })
  return recordedOf(event, decision)
}

const keyOf = ([seq, eventId]: StoredEvent | StoredDecision): string => `${seq} ${eventId}`

/** Pages by key, so that each costs the same wherever it stands. */
async function* read(connection: Connection, fromSeq: number): AsyncIterable<Recorded[]> {
  let after: { seq: number | string; id: string } = { seq: fromSeq, id: '' }
  for (;;) {
    const page = await eventsAfter(connection, after)
    const [first, last] = [page[0], page.at(-1)]
    if (first === undefined || last === undefined) return
    const decisions = new Map((await decisionsBetween(connection, first[0], last[0])).map((row) => [keyOf(row), row]))
    for (let at = 0; at < page.length; at += ROWS_PER_TURN) {
      yield page.slice(at, at + ROWS_PER_TURN).map((event) => recordedOf(event, decisions.get(keyOf(event))))
      await nextTurn()
    }
    if (page.length < PAGE_ROWS) return
    after = { seq: last[0], id: last[1] }
  }
}

/** LIMIT BY drops repeats that no merge has collapsed yet. */
const eventsAfter = ({ database, select }: Connection, after: { seq: number | string; id: string }): Promise<StoredEvent[]> =>
  select('reading events', `SELECT ${EVENT_COLUMNS} FROM ${database}.events
    WHERE seq >= {seq:UInt64} AND (seq > {seq:UInt64} OR event_id > {id:String})
    ORDER BY seq, event_id LIMIT 1 BY seq, event_id LIMIT ${PAGE_ROWS}`, after)

const decisionsBetween = ({ database, select }: Connection, from: number | string, to: number | string): Promise<StoredDecision[]> =>
  select('reading decisions', `SELECT ${DECISION_COLUMNS} FROM ${database}.decisions WHERE seq BETWEEN {from:UInt64} AND {to:UInt64}`, { from, to })
