import type { Pool } from './pool.js'

/** Whether these stores were made with the token key of this fingerprint; the first who asks says which it is. */
export async function isTokenKey(pool: Pool, fingerprint: string): Promise<boolean> {
  const { rows: [row] } = await pool.query<{ same: boolean }>('UPDATE installation SET token_key = coalesce(token_key, $1) RETURNING token_key = $1 AS same', [fingerprint])
  return row?.same === true
}

/** What these stores are called among others. */
export async function installationId(pool: Pool): Promise<string> {
  const { rows: [row] } = await pool.query<{ id: string }>('SELECT id FROM installation')
  if (!row) throw new Error('the installation has no id: its migrations did not run')
  return row.id
}
