import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startEmbeddedPostgres } from '../../src/adapters/postgres/embedded.js'
import { createEnforcementStore } from '../../src/adapters/postgres/enforcement-store.js'
import { createPostgresJournal, type PostgresJournal, type PostgresJournalOptions } from '../../src/adapters/postgres/journal.js'
import { migrate } from '../../src/adapters/postgres/migrate.js'
import { createPool, type Pool } from '../../src/adapters/postgres/pool.js'
import type { Recorded } from '../../src/domain/record.js'
import type { Found, Seen } from '../../src/ports/recorder.js'
import { anEntry, range, type Entry } from '../support/journal-entries.js'
import { openLine } from '../support/postgres-line.js'
import { openTempDir, quiet, usePostgres, type Database } from '../support/postgres.js'
import { aHold } from './suites/enforcement-store.js'
import { readAll, readingSuite } from './suites/journal.js'
import { cancelling, placing, recordAll, said } from './suites/recorder.js'

const server = usePostgres()
const closers: (() => Promise<unknown>)[] = []
/** The server takes 60 connections: a test's pools end with it. */
const ending = (pool: Pool): Pool => { closers.unshift(() => pool.end()); return pool }
const postgres = {
  async fresh(): Promise<Database> { const database = await server.fresh(); ending(database.pool); return database },
  another: (database: Database): Pool => ending(server.another(database)),
}
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

async function open(pool: Pool, options: Partial<PostgresJournalOptions> = {}): Promise<PostgresJournal> {
  const journal = await createPostgresJournal(pool, { enforcement: createEnforcementStore(pool), pollMs: 10, ...options })
  closers.push(() => journal.close())
  return journal
}

/** Two journals of one database, as two processes have them. */
async function two(options: Partial<PostgresJournalOptions> = {}): Promise<{ a: PostgresJournal; b: PostgresJournal; database: Database }> {
  const database = await postgres.fresh()
  return { a: await open(database.pool, options), b: await open(postgres.another(database), options), database }
}

const entries = (from: number, to: number): Entry[] => range(from, to).map((n) => anEntry(n))
async function everything(journal: PostgresJournal): Promise<Recorded[]> {
  await journal.poll()
  return readAll(journal)
}
/** Every position taken, from 1 on, and every id once. */
async function expectWhole(journal: PostgresJournal, count: number): Promise<void> {
  const records = await everything(journal)
  expect(records.map((r) => r.seq)).toEqual(range(1, count))
  expect(new Set(records.map((r) => r.event.eventId)).size).toBe(count)
}
const bytesOf = (found: Found | undefined): string | undefined => (found === undefined || found === 'forgotten' ? undefined : found.decision)

describe('the journal in PostgreSQL', () => {
  readingSuite(async () => {
    const journal = await open((await postgres.fresh()).pool)
    return { reader: journal, fill: (some) => recordAll(journal, some) }
  })

  it('is empty at first, and begins at 1', async () => {
    const journal = await open((await postgres.fresh()).pool)
    expect([journal.firstSeq, journal.lastSeq, journal.durableSeq, journal.pending]).toEqual([1, 0, 0, 0])
  })

  it('gives a record out under its position, its bytes too', async () => {
    const journal = await open((await postgres.fresh()).pool)
    await recordAll(journal, entries(1, 3))
    const found = await journal.find('e-3', 'hash-3')
    expect(found).toMatchObject({ seq: 3 })
    expect(found !== 'forgotten' && found?.lines?.toString()).toMatch(/^\{"seq":3,/)
  })

  it('is closed to records after closing, once those on their way are there', async () => {
    const { pool } = await postgres.fresh()
    const journal = await open(pool)
    const recording = recordAll(journal, entries(1, 500))
    await journal.close()
    await recording
    await expect(journal.record(anEntry(501), undefined)).rejects.toThrow('closed')
    await expectWhole(await open(pool), 500)
  })

  it('tells of a record that PostgreSQL will not take, and takes the others of its batch', async () => {
    const journal = await open((await postgres.fresh()).pool)
    const bad = anEntry(2, { event: { ...anEntry(2).event, eventId: 'e-\0' } })
    const answers = await Promise.allSettled([anEntry(1), bad, anEntry(3)].map((entry) => journal.record(entry, undefined)))
    expect(answers.map((a) => a.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((await readAll(journal)).map((r) => r.event.eventId)).toEqual(['e-1', 'e-3'])
    expect(journal.pending).toBe(0)
  })
})

describe('two processes over one journal', () => {
  it('number what they record together from 1 without gaps, each in the order of its calls', async () => {
    const { a, b } = await two()
    const feed = async (journal: PostgresJournal, from: number): Promise<void> => {
      for (let n = from; n < from + 2_000; n += 80) await recordAll(journal, entries(n, n + 79))
    }
    await Promise.all([feed(a, 1), feed(b, 10_001)])
    await expectWhole(a, 4_000)
    const ids = (await everything(b)).map((r) => Number(r.event.eventId.slice(2)))
    expect(ids.filter((id) => id < 10_000)).toEqual(range(1, 2_000))
    expect(ids.filter((id) => id > 10_000)).toEqual(range(10_001, 12_000))
  })

  it('record an id once when both get it at the same moment, with one answer for both', async () => {
    const { a, b } = await two()
    for (let round = 0; round < 20; round++) {
      const ids = range(round * 30 + 1, round * 30 + 30).map((n) => n * 3)
      const by = (name: string): Entry[] => ids.map((n) => anEntry(n, { decision: `{"by":"${name}"}` }))
      const [fromA, fromB] = await Promise.all([recordAll(a, by('a')), recordAll(b, by('b').reverse())])
      ids.forEach((_, i) => {
        const answers = [bytesOf(fromA[i]) ?? '{"by":"a"}', bytesOf(fromB[ids.length - 1 - i]) ?? '{"by":"b"}']
        expect(answers[0]).toBe(answers[1])
        expect([fromA[i], fromB[ids.length - 1 - i]].filter((found) => found === undefined)).toHaveLength(1)
      })
    }
    await expectWhole(a, 600)
  })

  it('record an id once when one of them gets it twice at the same moment', async () => {
    const { a } = await two()
    const [first, second] = await Promise.all([a.record(anEntry(3), undefined), a.record(anEntry(3, { bodyHash: 'another' }), undefined)])
    expect(first).toBeUndefined()
    expect(second).toMatchObject({ seq: 1, bodyHash: 'hash-3' })
  })

  it('show each other the conflict of another body under the same id', async () => {
    const { a, b } = await two()
    await a.record(anEntry(3), undefined)
    expect(await b.record(anEntry(3, { bodyHash: 'another' }), undefined)).toMatchObject({ bodyHash: 'hash-3' })
    expect(await b.find('e-3', 'another')).toMatchObject({ bodyHash: 'hash-3' })
  })

  it('apply the effects of the record that was first, and of no other', async () => {
    const { a, b, database } = await two()
    await a.record(anEntry(3), placing(aHold('first')))
    await Promise.all([b.record(anEntry(3, { bodyHash: 'another' }), placing(aHold('second'))), b.record(anEntry(6), placing(aHold('third')))])
    const holds = await createEnforcementStore(database.pool).list({ limit: 9 })
    expect(holds.items.map((h) => h.holdId).sort()).toEqual(['first', 'third'])
  })

  it('see what the other recorded, when they look for the end', async () => {
    const { a, b } = await two()
    await recordAll(a, entries(1, 7))
    while (b.durableSeq < 7) await sleep(5)
    expect(await readAll(b)).toEqual(await readAll(a))
  })
})

describe('a record whose effects fail', () => {
  it('is not there either', async () => {
    const { pool } = await postgres.fresh()
    const journal = await open(pool)
    await pool.query('ALTER TABLE holds RENAME TO holds_away')
    await expect(journal.record(anEntry(3), placing(aHold('1')))).rejects.toThrow('did not record')
    expect(await journal.find('e-3', 'hash-3')).toBeUndefined()
    await pool.query('ALTER TABLE holds_away RENAME TO holds')
    expect(await journal.record(anEntry(3), placing(aHold('1')))).toBeUndefined()
    await expectWhole(journal, 1)
  })
})

describe('asking whether an event was seen', () => {
  const claims = (answers: Record<string, 'new' | 'seen'>): Seen => ({ claim: (id) => Promise.resolve(answers[id] ?? 'new') })

  it('takes the word of the quick memory for an id that is new, and the table decides all the same', async () => {
    const { a, b } = await two({ seen: claims({}) })
    await a.record(anEntry(3), undefined)
    expect(await b.find('e-3', 'hash-3')).toBeUndefined()
    expect(said(await b.record(anEntry(3, { acceptedAt: 5 }), undefined))).toEqual({ seq: 0, ...anEntry(3) })
  })

  it('waits for another process that is in the middle of deciding it', async () => {
    const { a, b } = await two({ seen: claims({ 'e-3': 'seen' }) })
    const finding = b.find('e-3', 'hash-3')
    await sleep(150)
    await a.record(anEntry(3), undefined)
    expect(said(await finding)).toEqual({ seq: 0, ...anEntry(3) })
  })

  it('takes it for new after about a second, when that process died', async () => {
    const { b } = await two({ seen: claims({ 'e-3': 'seen' }) })
    const startedAt = performance.now()
    expect(await b.find('e-3', 'hash-3')).toBeUndefined()
    expect(performance.now() - startedAt).toBeGreaterThan(900)
  })

  it('does not wait for an event that it turned away itself', async () => {
    const answers: Record<string, 'new' | 'seen'> = {}
    const { a } = await two({ seen: { claim: (id) => { const was = answers[id] ?? 'new'; answers[id] = 'seen'; return Promise.resolve(was) } } })
    await a.find('e-3', 'hash-3')
    const startedAt = performance.now()
    expect(await a.find('e-3', 'hash-3')).toBeUndefined()
    expect(performance.now() - startedAt).toBeLessThan(500)
  })

  it('looks into the table when the quick memory does not answer', async () => {
    const told: string[] = []
    const { a, b } = await two({ seen: { claim: () => Promise.reject(new Error('no Redis')) }, onRetry: (_, what) => { told.push(what) } })
    await a.record(anEntry(3), undefined)
    expect(await b.find('e-3', 'hash-3')).toMatchObject({ seq: 1 })
    expect(await b.find('e-4', 'hash-4')).toBeUndefined()
    expect(told).toEqual(['seen', 'seen'])
  })
})

describe('when PostgreSQL fails', () => {
  it('loses and doubles nothing though backends are ended in the middle of batches', async () => {
    const { a, b, database } = await two()
    const killer = postgres.another(database)
    let killed = 0
    const killing = new AbortController()
    const kill = (async () => {
      while (!killing.signal.aborted) {
        const { rows } = await killer.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'")
        killed += rows.length
        await sleep(40)
      }
    })()
    const feed = async (journal: PostgresJournal, from: number): Promise<void> => {
      for (let n = from; n < from + 600; n += 25) {
        const some = entries(n, n + 24)
        const answers = await Promise.all(some.map((entry, i) => journal.record(entry, i % 5 === 0 ? placing(aHold(String(n + i))) : undefined)))
        expect(answers).toEqual(some.map(() => undefined))
      }
    }
    await Promise.all([feed(a, 1), feed(b, 10_001)])
    killing.abort()
    await kill
    expect(killed).toBeGreaterThan(5)
    await expectWhole(await open(killer), 1_200)
    expect((await killer.query("SELECT count(*)::int AS n FROM holds WHERE status = 'active'")).rows).toEqual([{ n: 240 }])
  })

  it.each(['journal_record', 'COMMIT'])('takes a record for its own when the answer to %s is lost', async (statement) => {
    const database = await postgres.fresh()
    const line = await openLine(database.connectionString)
    const pool = createPool(line.connectionString, quiet)
    closers.push(() => line.close(), () => pool.end())
    const retried: unknown[] = []
    const journal = await open(pool, { pollMs: 0, onRetry: (fault) => { retried.push(fault) } })
    line.loseAnswerTo(statement)
    expect(await journal.record(anEntry(3), statement === 'COMMIT' ? cancelling('o-1') : undefined)).toBeUndefined()
    expect(retried).toHaveLength(1)
    await expectWhole(journal, 1)
    expect(said(await journal.find('e-3', 'hash-3'))).toEqual({ seq: 0, ...anEntry(3) })
  })

  it('goes on by itself after the server crashed and came back', async () => {
    const dir = await openTempDir()
    const own = await startEmbeddedPostgres(dir, quiet)
    closers.push(() => rm(dir, { recursive: true, force: true }), () => own.stop())
    await migrate(own.connectionString, quiet)
    const pool = createPool(own.connectionString, quiet)
    closers.push(() => pool.end())
    const journal = await open(pool)
    await recordAll(journal, entries(1, 300))
    const recording = recordAll(journal, entries(301, 900), placing(aHold('1')))
    process.kill(Number((await readFile(join(dir, 'cluster', 'postmaster.pid'), 'utf8')).split('\n')[0]), 'SIGQUIT')
    expect(await recording).toEqual(range(301, 900).map(() => undefined))
    await expectWhole(journal, 900)
  })

  it('rejects after its deadline, and records later what is asked again', async () => {
    const database = await postgres.fresh()
    const line = await openLine(database.connectionString)
    const pool = createPool(line.connectionString, quiet)
    closers.push(() => line.close(), () => pool.end())
    const journal = await open(pool, { pollMs: 0, deadlineMs: 300 })
    const cutting = setInterval(() => { line.cut() }, 1)
    await expect(journal.record(anEntry(3), undefined)).rejects.toThrow('did not record')
    clearInterval(cutting)
    expect([journal.pending, journal.fault]).toEqual([0, undefined])
    await sleep(50)
    expect(await journal.record(anEntry(3), undefined)).toBeUndefined()
    await expectWhole(journal, 1)
  })
})

describe('retiring', () => {
  const DAY_MS = 86_400_000
  const NOW = Date.parse('2026-12-20T00:00:00.000+08:00')
  const weekAgo = { records: NOW - 7 * DAY_MS, ids: NOW - 31 * DAY_MS }

  /** 35 records in parts of ten, begun `daysAgo` each. */
  async function filled(daysAgo: readonly number[], options: Partial<PostgresJournalOptions> = {}): Promise<{ journal: PostgresJournal; pool: Pool }> {
    const { pool } = await postgres.fresh()
    await pool.query('UPDATE journal_head SET span = 10')
    const journal = await open(pool, options)
    for (let n = 1; n <= 35; n += 7) await recordAll(journal, entries(n, n + 6))
    for (const [i, days] of daysAgo.entries()) await pool.query('UPDATE journal_parts SET begun_at = $1 WHERE first_seq = $2', [NOW - days * DAY_MS, i * 10 + 1])
    return { journal, pool }
  }

  it('gives up whole parts that are old and that every reader is past, and never the last', async () => {
    const { journal, pool } = await filled([40, 30, 20, 10])
    expect(await journal.retire(10, weekAgo)).toBe(0)
    expect(await journal.retire(11, weekAgo)).toBe(10)
    expect(journal.firstSeq).toBe(11)
    expect(await journal.retire(99, weekAgo)).toBe(20)
    expect((await readAll(journal)).map((r) => r.seq)).toEqual(range(31, 35))
    await expect(readAll(journal, 30)).rejects.toThrow('record 30 is no longer in the journal')
    expect((await open(pool)).firstSeq).toBe(31)
    await recordAll(journal, entries(36, 60))
    expect(journal.durableSeq).toBe(60)
  })

  it('keeps what is young', async () => {
    const { journal } = await filled([9, 8, 6, 5])
    expect(await journal.retire(99, weekAgo)).toBe(10)
  })

  it('still knows the ids, asks for those records elsewhere, and calls them forgotten when nobody has them', async () => {
    const { journal } = await filled([20, 18, 16, 14], { older: (id) => Promise.resolve(id === 'e-3' ? { seq: 3, ...anEntry(3) } : undefined) })
    await journal.retire(99, weekAgo)
    expect(await journal.find('e-3', 'hash-3')).toMatchObject({ seq: 3 })
    expect(await journal.find('e-4', 'hash-4')).toBe('forgotten')
    expect(await journal.record(anEntry(4), undefined)).toBe('forgotten')
    expect(await journal.find('e-33', 'hash-33')).toMatchObject({ seq: 33 })
  })

  it('forgets ids only when they are older than repeats are known', async () => {
    const { journal } = await filled([60, 40, 20, 10])
    await journal.retire(99, weekAgo)
    expect(await journal.find('e-10', 'hash-10')).toBeUndefined()
    expect(await journal.find('e-11', 'hash-11')).toBe('forgotten')
    expect(await journal.record(anEntry(10), undefined)).toBeUndefined()
  })
})
