import { describe } from 'vitest'
import { createPolicyStore } from '../../src/adapters/postgres/policy-store.js'
import type { AuditEntry } from '../../src/ports/access-store.js'
import { usePostgres } from '../support/postgres.js'
import { policyStoreSuite } from './suites/policy-store.js'

describe('the policy store in PostgreSQL', () => {
  const postgres = usePostgres()
  policyStoreSuite(async () => {
    const { pool } = await postgres.fresh()
    const audited = async (): Promise<AuditEntry[]> =>
      (await pool.query<AuditEntry>('SELECT at::int, by, action, subject, detail FROM audit_log ORDER BY audit_id')).rows
    return { store: createPolicyStore(pool), audited }
  })
})
