import type { Pool, PoolClient } from 'pg'
import type { ApiKey, Role } from '../../domain/access.js'
import type { AccessStore, AuditEntry, AuditLog } from '../../ports/access-store.js'

/** A row of `api_keys`; pg gives bigint as text. */
interface KeyRow {
  key_id: string; secret_hash: string; role: Role; hospital_id: string | null; cidr: string | null; created_at: string; revoked_at: string | null
}

const toKey = (row: KeyRow): ApiKey => ({
  keyId: row.key_id, secretHash: row.secret_hash, role: row.role, createdAt: Number(row.created_at),
  ...(row.hospital_id !== null && { hospitalId: row.hospital_id }),
  ...(row.cidr !== null && { cidr: row.cidr }),
  ...(row.revoked_at !== null && { revokedAt: Number(row.revoked_at) }),
})

/** API keys in PostgreSQL. `create` throws when the id or the secret is taken. A revoked key is still found: it says so. */
export function createAccessStore(pool: Pool): AccessStore {
  return {
    async create(key) {
      await pool.query(
        'INSERT INTO api_keys (key_id, secret_hash, role, hospital_id, cidr, created_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7)',
        [key.keyId, key.secretHash, key.role, key.hospitalId ?? null, key.cidr ?? null, key.createdAt, key.revokedAt ?? null],
      )
    },
    async findByHash(secretHash) {
      const { rows: [row] } = await pool.query<KeyRow>('SELECT * FROM api_keys WHERE secret_hash = $1', [secretHash])
      return row === undefined ? undefined : toKey(row)
    },
    async list() {
      return (await pool.query<KeyRow>('SELECT * FROM api_keys ORDER BY created_at, key_id')).rows.map(toKey)
    },
    async revoke(keyId, at) {
      return (await pool.query('UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL', [keyId, at])).rowCount === 1
    },
  }
}

/** Writes one entry, in the caller's transaction where there is one. */
export async function appendAudit(client: Pool | PoolClient, entry: AuditEntry): Promise<void> {
  const { at, by, action, subject, detail } = entry
  const values = [at, by, action, subject, JSON.stringify(detail)]
  await client.query('INSERT INTO audit_log (at, by, action, subject, detail) VALUES ($1, $2, $3, $4, $5)', values)
}

/** The audit log in PostgreSQL; the table itself refuses updates and deletes. */
export const createAuditLog = (pool: Pool): AuditLog => ({ append: (entry) => appendAudit(pool, entry) })
