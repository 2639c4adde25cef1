import type { Position, PositionStore } from '../../ports/journal.js'
import type { Pool } from './pool.js'

/** A row of `journal_positions`; pg gives bigint as text. */
interface PositionRow { done: string; intent_from: string | null; intent_to: string | null; epoch: string }

const TAKE = `
  INSERT INTO journal_positions AS p (reader, epoch) VALUES ($1, 1)
  ON CONFLICT (reader) DO UPDATE SET epoch = p.epoch + 1 RETURNING *`

// A range in hand is safe before it is worked on. That it is done may be lost with the server: it is then repeated whole.
const SAVE = `
  UPDATE journal_positions SET done = $2, intent_from = $3, intent_to = $4
  WHERE reader = $1 AND epoch = $5 AND set_config('synchronous_commit', $6, true) IS NOT NULL`

/**
 * Positions in PostgreSQL. Whoever loads a reader's position last owns it: a save by an earlier owner rejects, so that a
 * leader that was replaced cannot begin a range of its own beside its successor, who repeats the one in hand.
 */
export function createPostgresPositions(pool: Pool): PositionStore {
  const epochs = new Map<string, string>()
  const load = async (reader: string): Promise<Position> => {
    const { rows: [row] } = await pool.query<PositionRow>(TAKE, [reader])
    if (!row) throw new Error(`the position of ${reader} could not be taken`)
    epochs.set(reader, row.epoch)
    const { intent_from: from, intent_to: to } = row
    return { done: Number(row.done), ...(from === null || to === null ? {} : { intent: { from: Number(from), to: Number(to) } }) }
  }
  return {
    load,
    async save(reader, { done, intent }) {
      if (!epochs.has(reader)) await load(reader)
      const { rowCount } = await pool.query({
        name: 'positions-save', text: SAVE, values: [reader, done, intent?.from ?? null, intent?.to ?? null, epochs.get(reader), intent ? 'on' : 'off'],
      })
      if (rowCount !== 1) throw new Error(`another process reads as ${reader} now`)
    },
  }
}
