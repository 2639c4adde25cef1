import { describe, expect, it } from 'vitest'
import { createAccessStore, createAuditLog } from '../../src/adapters/postgres/access-store.js'
import { usePostgres } from '../support/postgres.js'
import { accessStoreSuite } from './suites/access-store.js'

describe('the access store in PostgreSQL', () => {
  const postgres = usePostgres()
  accessStoreSuite(async () => createAccessStore((await postgres.fresh()).pool))

  it('appends audit entries that nobody can change or remove', async () => {
    const { pool } = await postgres.fresh()
    const entry = { at: 7, by: 'k1', action: 'subject.lookup', subject: 't-1', detail: { kind: 'patient' } }
    await createAuditLog(pool).append(entry)
    for (const sql of ['UPDATE audit_log SET at = 0', 'DELETE FROM audit_log', 'TRUNCATE audit_log']) {
      await expect(pool.query(sql)).rejects.toThrow('append-only')
    }
    expect((await pool.query('SELECT at::int, by, action, subject, detail FROM audit_log')).rows).toEqual([entry])
  })
})
