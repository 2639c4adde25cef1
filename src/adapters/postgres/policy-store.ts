import type { Pool } from 'pg'
import type { PolicyPatch, StoredPolicy } from '../../domain/policy.js'
import type { PolicyStore } from '../../ports/policy-store.js'
import { appendAudit } from './access-store.js'
import { inTransaction } from './pool.js'

/** A row of `policies`; pg gives bigint as text. */
interface PolicyRow { hospital_id: string; patch: PolicyPatch; changed_by: string; changed_at: string; revision: number }

const toPolicy = (row: PolicyRow): StoredPolicy =>
  ({ hospitalId: row.hospital_id, patch: row.patch, changedBy: row.changed_by, changedAt: Number(row.changed_at), revision: row.revision })

// $5 is the revision the caller read: null writes over anything, 0 only where nothing is, n only over n.
const PUT = `
  INSERT INTO policies AS p (hospital_id, patch, changed_by, changed_at, revision)
  SELECT $1, $2::jsonb, $3, $4::bigint, 1 WHERE $5::int IS NULL OR $5 = 0 OR EXISTS (SELECT FROM policies WHERE hospital_id = $1)
  ON CONFLICT (hospital_id) DO UPDATE
    SET patch = excluded.patch, changed_by = excluded.changed_by, changed_at = excluded.changed_at, revision = p.revision + 1
  WHERE $5 IS NULL OR p.revision = $5
  RETURNING *`

/** Hospitals' overrides in PostgreSQL, each change with its audit entry (`policy.put`) in one transaction. */
export function createPolicyStore(pool: Pool): PolicyStore {
  return {
    async all() {
      return (await pool.query<PolicyRow>('SELECT * FROM policies ORDER BY hospital_id')).rows.map(toPolicy)
    },
    async changes() {
      return Number((await pool.query<{ changes: string }>('SELECT coalesce(sum(revision), 0) AS changes FROM policies')).rows[0]?.changes ?? 0)
    },
    async get(hospitalId) {
      const { rows: [row] } = await pool.query<PolicyRow>('SELECT * FROM policies WHERE hospital_id = $1', [hospitalId])
      return row === undefined ? undefined : toPolicy(row)
    },
    async put(hospitalId, patch, by, at, expectedRevision) {
      return inTransaction(pool, async (client) => {
        const { rows: [row] } = await client.query<PolicyRow>(PUT, [hospitalId, JSON.stringify(patch), by, at, expectedRevision ?? null])
        if (row === undefined) return undefined
        await appendAudit(client, { at, by, action: 'policy.put', subject: hospitalId, detail: { patch, revision: row.revision } })
        return toPolicy(row)
      })
    },
  }
}
