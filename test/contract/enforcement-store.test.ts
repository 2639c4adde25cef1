import { describe, expect, it } from 'vitest'
import { createEnforcementStore } from '../../src/adapters/postgres/enforcement-store.js'
import { inTransaction } from '../../src/adapters/postgres/pool.js'
import { usePostgres, type Database } from '../support/postgres.js'
import { aHold, enforcementStoreSuite } from './suites/enforcement-store.js'

describe('the enforcement store in PostgreSQL', () => {
  const postgres = usePostgres()
  let database: Database | undefined

  enforcementStoreSuite(async () => {
    // One database, emptied for each fixture: making one takes longer than most of these tests.
    database ??= await postgres.fresh()
    const { pool } = database
    await pool.query('TRUNCATE holds, hold_outbox, hold_outbox_pending, hold_ends')
    let first = true
    const open = (): typeof pool => {
      if (first || database === undefined) {
        first = false
        return pool
      }
      return postgres.another(database)
    }
    return { open: (sinks) => createEnforcementStore(open(), sinks) }
  })

  it('forgets ended holds only when they are old and every sink has them', async () => {
    const store = createEnforcementStore((await postgres.fresh()).pool, ['topic', 'history'])
    await store.apply({ holds: ['old', 'undelivered', 'young', 'active'].map((id) => aHold(id)), cancellations: [] })
    const T = aHold('x').placedAt
    await store.resolve('old', 'released', 'anna', '', T + 1)
    await store.resolve('undelivered', 'released', 'anna', '', T + 1)
    await store.resolve('young', 'released', 'anna', '', T + 100)
    const messages = await store.pending('topic', 10)
    await store.delivered('topic', messages.map((m) => m.outboxId))
    await store.delivered('history', messages.filter((m) => m.holdId !== 'undelivered').map((m) => m.outboxId))
    expect(await store.purge(T + 50)).toBe(1)
    expect((await store.list({ limit: 9 })).items.map((h) => h.holdId).sort()).toEqual(['active', 'undelivered', 'young'])
  })

  it('ends a hold that is recorded after what ended it, if it was placed before', async () => {
    const { pool } = await postgres.fresh()
    const store = createEnforcementStore(pool)
    const T = aHold('x').placedAt
    const within = (effects: Parameters<typeof store.apply>[0]): Promise<void> => inTransaction(pool, (client) => store.applyWithin(client, effects))
    await within({ holds: [], cancellations: [{ orderId: 'o-1', reason: 'booking.cancelled', at: T + 5 }, { hospitalId: 'h-9', scheduleId: 's-9', reason: 'schedule.stopped', at: T + 5 }] })
    await within({ holds: [aHold('1'), aHold('stopped', { hospitalId: 'h-9', scheduleId: 's-9' }), aHold('again', { orderId: 'o-1', placedAt: T + 6 }), aHold('other')], cancellations: [] })
    const states = await Promise.all(['1', 'stopped', 'again', 'other'].map(async (id) => (await store.get(id))?.status))
    expect(states).toEqual(['cancelled', 'cancelled', 'active', 'active'])
    expect((await store.pending('topic', 10)).map((m) => m.holdId).sort()).toEqual(['1', 'stopped'])
  })

  it('ends no hold when its message cannot be written', async () => {
    const { pool } = await postgres.fresh()
    const store = createEnforcementStore(pool)
    await store.apply({ holds: [aHold('1')], cancellations: [] })
    await pool.query('ALTER TABLE hold_outbox RENAME TO hold_outbox_away')
    await expect(store.resolve('1', 'released', 'anna', '', aHold('1').placedAt)).rejects.toThrow('hold_outbox')
    await expect(store.expireDue(aHold('1').expiresAt, 10)).rejects.toThrow('hold_outbox')
    await expect(store.apply({ holds: [aHold('2')], cancellations: [{ orderId: 'o-1', reason: '', at: aHold('1').placedAt }] })).rejects.toThrow('hold_outbox')
    expect((await store.get('1'))?.status).toBe('active')
    expect(await store.get('2')).toBeUndefined()
  })
})
