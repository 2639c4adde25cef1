import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { openFileJournal } from '../../src/adapters/file/journal.js'
import { createEnforcementStore } from '../../src/adapters/postgres/enforcement-store.js'
import { createPostgresJournal, type PostgresJournal } from '../../src/adapters/postgres/journal.js'
import { createEnforcer } from '../../src/pipeline/enforcer.js'
import { createRecorder } from '../../src/pipeline/recorder.js'
import { usePostgres } from '../support/postgres.js'
import { readAll } from './suites/journal.js'
import { recorderSuite } from './suites/recorder.js'

const postgres = usePostgres()

describe('of files, with an enforcer behind them', () => {
  let root = ''
  let dirs = 0
  beforeAll(async () => { root = await mkdtemp(join(tmpdir(), 'recorder-')) })
  afterAll(() => rm(root, { recursive: true }))

  recorderSuite(async () => {
    const holds = createEnforcementStore((await postgres.fresh()).pool)
    const journal = await openFileJournal({ dir: join(root, String(++dirs)) })
    const enforcer = createEnforcer({ store: holds, durableSeq: () => journal.durableSeq, backOff: () => new Promise(setImmediate), onRetry: () => undefined })
    return { recorder: createRecorder(journal, enforcer), holds, records: () => readAll(journal) }
  })
})

describe('over PostgreSQL', () => {
  const opened: PostgresJournal[] = []
  afterAll(async () => { for (const journal of opened) await journal.close() })

  recorderSuite(async () => {
    const { pool } = await postgres.fresh()
    const holds = createEnforcementStore(pool)
    const journal = await createPostgresJournal(pool, { enforcement: holds })
    opened.push(journal)
    return { recorder: journal, holds, records: () => readAll(journal) }
  })
})
