import type { CounterLedger } from '../../ports/counter-standing.js'
import { inTransaction, type Pool } from './pool.js'

/** A row of `counter_standing`; pg gives bigint as text. `missing_from` is written by a trigger of `journal` (migration 4). */
interface StandingRow { generation: string; ready: boolean; runs: string; watermark: string; missing_from: string | null }

const CREATE = `
  INSERT INTO counter_standing (layout, generation, ready, runs, watermark) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (layout) DO NOTHING`

const REPLACE = `
  UPDATE counter_standing SET generation = $2, ready = $3, runs = $4, watermark = $5, missing_from = CASE WHEN $3 THEN missing_from END
  WHERE layout = $1 AND generation = $6 AND ready = $7 AND runs = $8 AND watermark = $9`

/** The ledger of shared counters in PostgreSQL. */
export function createCounterLedger(pool: Pool): CounterLedger {
  return {
    async load(layout) {
      const { rows: [row] } = await pool.query<StandingRow>({ name: 'counter-standing', text: 'SELECT * FROM counter_standing WHERE layout = $1', values: [layout] })
      if (!row) return undefined
      const { generation, ready, runs, missing_from: missingFrom } = row
      return { generation, ready, runs, watermark: Number(row.watermark), ...(missingFrom === null ? {} : { missingFrom: Number(missingFrom) }) }
    },
    save(layout, next, before) {
      return inTransaction(pool, async (client) => {
        // Whoever records holds this lock until its commit: what comes after us sees what we write.
        await client.query('SELECT FROM journal_head FOR UPDATE')
        const values = [layout, next.generation, next.ready, next.runs, next.watermark]
        const { rowCount } = before
          ? await client.query(REPLACE, [...values, before.generation, before.ready, before.runs, before.watermark])
          : await client.query(CREATE, values)
        return rowCount === 1
      })
    },
  }
}

/** What these stores are called among others. */
export async function installationId(pool: Pool): Promise<string> {
  const { rows: [row] } = await pool.query<{ id: string }>('SELECT id FROM installation')
  if (!row) throw new Error('the installation has no id: its migrations did not run')
  return row.id
}
