import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPositions } from '../../src/adapters/file/positions.js'
import { createPostgresPositions } from '../../src/adapters/postgres/positions.js'
import { usePostgres } from '../support/postgres.js'
import { positionsSuite } from './suites/positions.js'

describe('in files', () => {
  let root = ''
  let dirs = 0
  const closers: (() => Promise<void>)[] = []
  beforeAll(async () => { root = await mkdtemp(join(tmpdir(), 'positions-')) })
  afterAll(async () => {
    for (const close of closers) await close()
    await rm(root, { recursive: true })
  })

  positionsSuite(() => {
    const dir = join(root, String(++dirs))
    return Promise.resolve({ open: async () => { const positions = await openPositions(dir); closers.push(() => positions.close()); return positions } })
  })
})

describe('in PostgreSQL', () => {
  const postgres = usePostgres()

  positionsSuite(async () => {
    const { pool } = await postgres.fresh()
    return { open: () => Promise.resolve(createPostgresPositions(pool)) }
  })

  it('lets a leader that was replaced save nothing more: its successor repeats the range in hand, under the same token', async () => {
    const { pool } = await postgres.fresh()
    const [before, after] = [createPostgresPositions(pool), createPostgresPositions(pool)]
    await before.load('history')
    await before.save('history', { done: 0, intent: { from: 1, to: 7 } })
    expect(await after.load('history')).toEqual({ done: 0, intent: { from: 1, to: 7 } })
    await expect(before.save('history', { done: 7 })).rejects.toThrow('another process reads as history now')
    await after.save('history', { done: 7 })
    expect(await createPostgresPositions(pool).load('history')).toEqual({ done: 7 })
  })

  it('has a range in hand on the disk before it is worked on', async () => {
    const { pool } = await postgres.fresh()
    const positions = createPostgresPositions(pool)
    await positions.load('history')
    const unflushed = async (save: Promise<void>): Promise<boolean> => {
      await save
      return (await pool.query<{ behind: boolean }>('SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn() AS behind')).rows[0]?.behind === true
    }
    let lazily = 0
    for (let n = 1; n <= 20; n++) {
      expect(await unflushed(positions.save('history', { done: n, intent: { from: n + 1, to: n + 5 } }))).toBe(false)
      if (await unflushed(positions.save('history', { done: n }))) lazily++
    }
    expect(lazily).toBeGreaterThan(0)
  })
})
