import pg from 'pg'
import { readRecord, type Recorded } from '../../domain/record.js'
import { inOrder, type Effects } from '../../ports/recorder.js'
import type { PostgresEnforcementStore } from './enforcement-store.js'
import { inTransaction, type Pool } from './pool.js'

/** A record on its way; `lines` as `writeRecord` gives them, with whatever position. */
export interface Unrecorded { eventId: string; lines: Buffer; effects: Effects | undefined }

/** A row of `journal_find`; pg gives bigint as text. `lines` is null once the record was retired. */
export interface FoundRow { event_id: string; seq: string; lines: string | null }

/** What became of a record of a batch: its position, or what was recorded first under its event id. */
export type RowOutcome = { seq: number } | { first: FoundRow }
export interface BatchOutcome { rows: RowOutcome[]; lastSeq: number }

const RECORD = 'SELECT * FROM journal_record($1::text[], $2::text[])'

/**
 * Records what is new of a batch, with its effects, in one transaction. The event ids must differ. A record that is there
 * already with the very same bytes is our own, from a try whose answer was lost (or another's that is no different: its
 * effects came of the same bytes): it counts as recorded now.
 */
export async function recordBatch(pool: Pool, enforcement: Pick<PostgresEnforcementStore, 'applyWithin'>, batch: readonly Unrecorded[]): Promise<BatchOutcome> {
  const values = [textArray(batch.map((r) => Buffer.from(r.eventId))), textArray(batch.map((r) => r.lines))]
  const record = async (client: Pool | pg.PoolClient): Promise<Map<string | null, FoundRow>> => {
    const { rows } = await client.query<FoundRow>({ name: 'journal-record', text: RECORD, values })
    return new Map(rows.map((row) => [row.event_id, row]))
  }
  // One statement is one trip, and the head is locked for no longer than it takes.
  if (!batch.some((r) => r.effects)) return outcomeOf(batch, await record(pool))
  return inTransaction(pool, async (client) => {
    const known = await record(client)
    const effects = batch.flatMap((r) => (r.effects && !known.has(r.eventId) ? [r.effects] : []))
    for (const group of inOrder(effects)) await enforcement.applyWithin(client, group)
    return outcomeOf(batch, known)
  })
}

function outcomeOf(batch: readonly Unrecorded[], known: ReadonlyMap<string | null, FoundRow>): BatchOutcome {
  let lastSeq = Number(known.get(null)?.seq)
  const rows = batch.map(({ eventId, lines }): RowOutcome => {
    const row = known.get(eventId)
    if (!row) return { seq: ++lastSeq }
    return typeof row.lines === 'string' && lines.equals(Buffer.from(row.lines)) ? { seq: Number(row.seq) } : { first: row }
  })
  return { rows, lastSeq }
}

const TEXT_OID = 25

/**
 * `text[]` as the server reads it in binary: dimensions, null flag, element type, length, lower bound; then each element with
 * its length. As text every quote of the records would be escaped, and be parsed again on the other side.
 */
function textArray(items: readonly Buffer[]): Buffer {
  const bytes = Buffer.allocUnsafe(items.reduce((sum, item) => sum + 4 + item.length, 20))
  let at = 0
  for (const header of [1, 0, TEXT_OID, items.length, 1]) at = bytes.writeInt32BE(header, at)
  for (const item of items) {
    at = bytes.writeInt32BE(item.length, at)
    at += item.copy(bytes, at)
  }
  return bytes
}

/** A record as it was written, under the position it got: its first member is `seq`. */
export const toRecorded = (seq: number, lines: string): Recorded => readRecord(Buffer.from(`{"seq":${seq}${lines.slice(lines.indexOf(','))}`))

const COMMA = 44
export const withSeq = (seq: number, lines: Buffer): Buffer => Buffer.concat([Buffer.from(`{"seq":${seq}`), lines.subarray(lines.indexOf(COMMA))])

/** SQLSTATE classes and codes: connection, rolled back, no room, operator, system; lock not had, read-only, idle in transaction. */
const PASSING = /^(08|40|53|57|58|55P03|25006|25P03)/

/** Whether the same work may succeed a little later: a lost or refused connection, a server that stops, a deadlock. */
export const mayPass = (fault: unknown): boolean => !(fault instanceof pg.DatabaseError) || PASSING.test(fault.code ?? '')
