import type { Recorded } from '../../domain/record.js'
import type { RecordTail } from '../../domain/record-tail.js'
import { inTransaction, type Pool } from './pool.js'
import { toRecorded } from './record-batch.js'

/** Records read at once: a few megabytes. */
const CHUNK_RECORDS = 1_000
const IDS_PER_DELETE = 10_000
/** A part goes only when nobody is reading: whoever records waits behind us, so we wait for a moment at most, and come again. */
const LOCK_WAIT = '100ms'

/**
 * Records from `fromSeq` to `toSeq`, which must be committed, in order; a chunk that is all in `tail` is not asked for.
 * Rejects when a part of them was retired.
 */
export async function* readJournal(pool: Pool, tail: RecordTail, fromSeq: number, toSeq: number): AsyncGenerator<Recorded[]> {
  for (let seq = fromSeq; seq <= toSeq;) {
    const upTo = Math.min(toSeq, seq + CHUNK_RECORDS - 1)
    const recent = tail.run(seq, upTo, CHUNK_RECORDS)
    if (recent.length === upTo - seq + 1) {
      seq += recent.length
      yield recent
      continue
    }
    const { rows } = await pool.query<{ seq: string; lines: string }>('SELECT seq, lines FROM journal WHERE seq BETWEEN $1 AND $2 ORDER BY seq', [seq, upTo])
    const from = seq
    const gap = rows.findIndex((row, i) => Number(row.seq) !== from + i)
    if (gap >= 0 || rows.length < upTo - seq + 1) throw new RangeError(`record ${gap < 0 ? seq + rows.length : seq + gap} is no longer in the journal`)
    seq += rows.length
    yield rows.map((row) => toRecorded(Number(row.seq), row.lines))
  }
}

/** The oldest part that is not retired, once it is full, below a position, and the next one was begun before a time. */
const OLDEST = `
  SELECT p.first_seq, p.last_seq, p.last_seq < $1 AND next.begun_at < $2 AS may_go FROM journal_parts p JOIN journal_parts next ON next.first_seq = p.last_seq + 1
  WHERE NOT p.retired ORDER BY p.first_seq LIMIT 1`

const FORGOTTEN = `
  SELECT p.first_seq, p.last_seq FROM journal_parts p JOIN journal_parts next ON next.first_seq = p.last_seq + 1
  WHERE p.retired AND next.begun_at < $1 ORDER BY p.first_seq LIMIT 1`

const FORGET = 'DELETE FROM journal_ids WHERE event_id IN (SELECT event_id FROM journal_ids WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT $3)'

interface PartRow { first_seq: string; last_seq: string; may_go: boolean }

/** See `Journal.retire`. Any process may call it; several do no harm. Rejects when a part is being read for long: come again. */
export async function retireJournal(pool: Pool, beforeSeq: number, older: { records: number; ids: number }): Promise<number> {
  let retired = 0
  for (let count = await dropOldest(pool, beforeSeq, older.records); count > 0; count = await dropOldest(pool, beforeSeq, older.records)) retired += count
  while (await forgetOldest(pool, older.ids));
  return retired
}

/** The number of records given up; 0 when the oldest part has to stay. */
function dropOldest(pool: Pool, beforeSeq: number, recordsMs: number): Promise<number> {
  return inTransaction(pool, async (client) => {
    await client.query(`SET LOCAL lock_timeout = '${LOCK_WAIT}'`)
    const { rows: [part] } = await client.query<PartRow>(`${OLDEST} FOR UPDATE OF p`, [beforeSeq, recordsMs])
    if (!part?.may_go) return 0
    await client.query(`DROP TABLE journal_${Number(part.first_seq)}`)
    await client.query('UPDATE journal_parts SET retired = true WHERE first_seq = $1', [part.first_seq])
    return Number(part.last_seq) - Number(part.first_seq) + 1
  })
}

/** Whether there was a part whose ids are as old as that. In pieces, so that no transaction is long. */
async function forgetOldest(pool: Pool, idsMs: number): Promise<boolean> {
  const { rows: [part] } = await pool.query<PartRow>(FORGOTTEN, [idsMs])
  if (!part) return false
  for (let gone = IDS_PER_DELETE; gone === IDS_PER_DELETE;) {
    gone = (await pool.query(FORGET, [part.first_seq, part.last_seq, IDS_PER_DELETE])).rowCount ?? 0
  }
  await pool.query('DELETE FROM journal_parts WHERE first_seq = $1', [part.first_seq])
  return true
}
