import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { actionOf, type Hold, type HoldState } from '../../../src/domain/hold.js'
import { OUTBOX_SINKS, type Cancellation, type EnforcementStore, type OutboxMessage, type OutboxSink } from '../../../src/ports/enforcement-store.js'

/** An adapter over one empty state: `open` gives the store as another process would see it. */
export interface EnforcementFixture { open: (sinks?: readonly OutboxSink[]) => EnforcementStore }

const T0 = Date.parse('2026-11-20T07:00:00.000+08:00')
const HOUR_MS = 3_600_000

export const aHold = (id: string, changes: Partial<Hold> = {}): Hold => ({
  holdId: id, eventId: `e-${id}`, orderId: `o-${id}`, hospitalId: 'h-007', scheduleId: 's-1',
  placedAt: T0, expiresAt: T0 + HOUR_MS, onExpiry: 'confirm', ...changes,
})
const all = (store: EnforcementStore, sink: OutboxSink = 'topic'): Promise<OutboxMessage[]> => store.pending(sink, 100_000)
const place = (store: EnforcementStore, ...holds: Hold[]): Promise<void> => store.apply({ holds, cancellations: [] })
const cancel = (store: EnforcementStore, ...cancellations: Cancellation[]): Promise<void> => store.apply({ holds: [], cancellations })

/** What every enforcement store does. `fixture` gives a fresh, empty one each time. */
export function enforcementStoreSuite(fixture: () => Promise<EnforcementFixture>): void {
  const fresh = async (): Promise<EnforcementStore> => (await fixture()).open()

  describe('placing', () => {
    it('keeps a hold as it was placed, active', async () => {
      const store = await fresh()
      await place(store, aHold('1'), aHold('2', { onExpiry: 'return_to_pool' }))
      expect(await store.get('1')).toEqual({ ...aHold('1'), status: 'active' })
      expect((await store.get('2'))?.onExpiry).toBe('return_to_pool')
      expect(await store.get('3')).toBeUndefined()
    })

    it('places the same hold once, and never revives one that has ended', async () => {
      const store = await fresh()
      await place(store, aHold('1'))
      await store.resolve('1', 'rejected', 'anna', 'scalper', T0 + 5)
      await place(store, aHold('1'), aHold('1'))
      expect((await store.get('1'))?.status).toBe('rejected')
      expect(await all(store)).toHaveLength(1)
    })

    it('takes an empty batch', async () => {
      const store = await fresh()
      await store.apply({ holds: [], cancellations: [] })
      expect((await store.list({ limit: 10 })).items).toEqual([])
    })
  })

  describe('resolving by a person', () => {
    const ends = [['released', 'confirm'], ['rejected', 'return_to_pool']] as const
    it.each(ends)('%s makes the booking core %s, with one message per sink', async (to, action) => {
      const store = await fresh()
      await place(store, aHold('1'))
      const result = await store.resolve('1', to, 'anna', 'seen', T0 + 5)
      const ended: HoldState = { ...aHold('1'), status: to, resolvedAt: T0 + 5, resolvedBy: 'anna', reason: 'seen', action }
      expect(result).toEqual({ kind: 'resolved', hold: ended })
      expect(await store.get('1')).toEqual(ended)
      const body = `{"hold_id":"1","event_id":"e-1","order_id":"o-1","resolution":"${to}","action":"${action}",`
        + '"by":"anna","reason":"seen","at":"2026-11-19T23:00:00.005Z"}'
      for (const sink of OUTBOX_SINKS) {
        const [message, ...more] = await all(store, sink)
        expect(more).toEqual([])
        expect(message).toMatchObject({ holdId: '1', orderId: 'o-1', body, resolved: { hold_id: '1', resolution: to, action } })
      }
    })

    it('says the same to the same person again, and who was first to anybody else', async () => {
      const store = await fresh()
      await place(store, aHold('1'))
      const first = await store.resolve('1', 'released', 'anna', 'seen', T0 + 5)
      expect(await store.resolve('1', 'released', 'anna', 'seen again', T0 + 9)).toEqual(first)
      expect(await store.resolve('1', 'released', 'bert', 'seen', T0 + 9)).toMatchObject({ kind: 'already', hold: { resolvedBy: 'anna' } })
      expect(await store.resolve('1', 'rejected', 'anna', 'oh', T0 + 9)).toMatchObject({ kind: 'already', hold: { status: 'released' } })
      expect(await all(store)).toHaveLength(1)
    })

    it('knows no hold it was never given', async () => {
      expect(await (await fresh()).resolve('1', 'released', 'anna', '', T0)).toEqual({ kind: 'unknown' })
    })

    it('comes too late from the instant of expiry on, even before the expiry loop ran', async () => {
      const store = await fresh()
      await place(store, aHold('1'), aHold('2'))
      expect((await store.resolve('1', 'rejected', 'anna', '', T0 + HOUR_MS - 1)).kind).toBe('resolved')
      const late = await store.resolve('2', 'rejected', 'anna', '', T0 + HOUR_MS)
      expect(late).toMatchObject({ kind: 'already', hold: { status: 'expired', action: 'confirm' } })
      expect((await all(store)).map((m) => m.resolved.resolution)).toEqual(['rejected', 'expired'])
    })
  })

  describe('expiring', () => {
    it('ends what is due, in favour of the patient unless the policy said otherwise', async () => {
      const store = await fresh()
      await place(store, aHold('1'), aHold('2', { onExpiry: 'return_to_pool' }), aHold('3', { expiresAt: T0 + HOUR_MS + 1 }))
      expect(await store.expireDue(T0 + HOUR_MS - 1, 10)).toBe(0)
      expect(await store.expireDue(T0 + HOUR_MS, 10)).toBe(2)
      expect(await store.get('1')).toMatchObject({ status: 'expired', action: 'confirm', resolvedBy: 'system', resolvedAt: T0 + HOUR_MS })
      expect(await store.get('2')).toMatchObject({ status: 'expired', action: 'return_to_pool' })
      expect((await store.get('3'))?.status).toBe('active')
      expect(await all(store)).toHaveLength(2)
    })

    it('ends at most as many as asked, the longest due first', async () => {
      const store = await fresh()
      await place(store, aHold('late', { expiresAt: T0 + 3 }), aHold('early', { expiresAt: T0 + 1 }), aHold('mid', { expiresAt: T0 + 2 }))
      expect(await store.expireDue(T0 + 10, 2)).toBe(2)
      expect((await store.get('late'))?.status).toBe('active')
      expect(await store.expireDue(T0 + 10, 2)).toBe(1)
    })
  })

  describe('cancelling', () => {
    it('ends the active holds of a dead order, and asks nothing of the booking core', async () => {
      const store = await fresh()
      await place(store, aHold('1', { orderId: 'o' }), aHold('2', { orderId: 'o' }), aHold('3'))
      await cancel(store, { orderId: 'o', reason: 'booking.cancelled', at: T0 + 7 })
      const ended = { status: 'cancelled', action: 'none', resolvedBy: 'platform', reason: 'booking.cancelled', resolvedAt: T0 + 7 }
      for (const id of ['1', '2']) expect(await store.get(id)).toMatchObject(ended)
      expect((await store.get('3'))?.status).toBe('active')
      expect((await all(store)).map((m) => m.holdId).sort()).toEqual(['1', '2'])
    })

    it('ends the holds of a stopped schedule in that hospital only', async () => {
      const store = await fresh()
      await place(store, aHold('1'), aHold('2', { hospitalId: 'h-008' }), aHold('3', { scheduleId: 's-2' }))
      await cancel(store, { hospitalId: 'h-007', scheduleId: 's-1', reason: 'schedule.stopped', at: T0 })
      expect((await store.list({ status: 'cancelled', limit: 9 })).items.map((h) => h.holdId)).toEqual(['1'])
    })

    it('cancels a hold placed in the same batch, for the first reason that names it', async () => {
      const store = await fresh()
      await store.apply({
        holds: [aHold('1')],
        cancellations: [{ hospitalId: 'h-007', scheduleId: 's-1', reason: 'first', at: T0 + 1 }, { orderId: 'o-1', reason: 'second', at: T0 + 2 }],
      })
      expect(await store.get('1')).toMatchObject({ status: 'cancelled', reason: 'first', resolvedAt: T0 + 1 })
      expect(await all(store)).toHaveLength(1)
    })

    it('ends no hold that was placed later, so that an old cancellation may be applied again', async () => {
      const store = await fresh()
      const old: Cancellation[] = [{ orderId: 'o', reason: 'booking.cancelled', at: T0 + 5 }, { hospitalId: 'h-007', scheduleId: 's-1', reason: 'schedule.stopped', at: T0 + 5 }]
      await place(store, aHold('before', { orderId: 'o', placedAt: T0 + 5 }))
      await cancel(store, ...old)
      await place(store, aHold('since', { orderId: 'o', placedAt: T0 + 6 }))
      await cancel(store, ...old)
      expect((await store.get('before'))?.status).toBe('cancelled')
      expect((await store.get('since'))?.status).toBe('active')
      expect(await all(store)).toHaveLength(1)
    })

    it('leaves a hold that has ended as it is', async () => {
      const store = await fresh()
      await place(store, aHold('1'))
      await store.resolve('1', 'released', 'anna', '', T0)
      await cancel(store, { orderId: 'o-1', reason: 'booking.cancelled', at: T0 + 1 })
      expect((await store.get('1'))?.status).toBe('released')
      expect(await all(store)).toHaveLength(1)
    })
  })

  describe('listing', () => {
    it('gives pages, newest first, without gaps or repeats, ties included', async () => {
      const store = await fresh()
      await place(store, ...Array.from({ length: 25 }, (_, i) => aHold(String(i).padStart(2, '0'), { placedAt: T0 + Math.floor(i / 4) })))
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.list({ limit: 10, ...(cursor !== undefined && { cursor }) })
        seen.push(...page.items.map((h) => h.holdId))
        cursor = page.nextCursor
      } while (cursor !== undefined)
      expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => String(24 - i).padStart(2, '0')))
    })

    it('filters by status and hospital, and refuses a cursor of its own making', async () => {
      const store = await fresh()
      await place(store, aHold('1'), aHold('2', { hospitalId: 'h-008' }), aHold('3'))
      await store.resolve('3', 'released', 'anna', '', T0)
      expect((await store.list({ status: 'active', hospitalId: 'h-007', limit: 10 })).items.map((h) => h.holdId)).toEqual(['1'])
      await expect(store.list({ limit: 10, cursor: 'nonsense' })).rejects.toThrow('cursor')
    })
  })

  describe('the outbox', () => {
    it('tracks each sink on its own, oldest first', async () => {
      const store = await fresh()
      for (const id of ['b', 'a', 'c']) {
        await place(store, aHold(id))
        await store.resolve(id, 'released', 'anna', '', T0)
      }
      const topic = await store.pending('topic', 2)
      expect(topic.map((m) => m.holdId)).toEqual(['b', 'a'])
      await store.delivered('topic', topic.map((m) => m.outboxId))
      await store.delivered('topic', topic.map((m) => m.outboxId))
      expect((await all(store)).map((m) => m.holdId)).toEqual(['c'])
      expect(await all(store, 'history')).toHaveLength(3)
      expect(await all(store, 'callback')).toHaveLength(3)
    })

    it('owes nothing to a sink that was not configured when the hold ended', async () => {
      const store = (await fixture()).open(['topic', 'history'])
      await place(store, aHold('1'))
      await store.resolve('1', 'released', 'anna', '', T0)
      expect(await all(store, 'callback')).toEqual([])
      expect(await all(store, 'history')).toHaveLength(1)
    })
  })

  describe('several processes at once', () => {
    it('give each hold exactly one resolution and one message when people, clock and platform race for it', async () => {
      const { open } = await fixture()
      const [a, b] = [open(), open()]
      const due = T0 + HOUR_MS
      for (let round = 0; round < 300; round++) {
        const id = `r${round}`
        await place(a, aHold(id))
        const attempts = [
          () => a.resolve(id, 'released', 'anna', '', due - 1), () => b.resolve(id, 'rejected', 'bert', '', due - 1),
          () => b.expireDue(due, 100), () => a.expireDue(due, 100), () => cancel(b, { orderId: `o-${id}`, reason: 'booking.cancelled', at: due }),
        ]
        const first = round % attempts.length
        await Promise.all([...attempts.slice(first), ...attempts.slice(0, first)].map((attempt) => attempt()))
        expect((await a.get(id))?.status).not.toBe('active')
      }
      const messages = await all(a)
      expect(messages).toHaveLength(300)
      expect(new Set(messages.map((m) => m.holdId)).size).toBe(300)
      for (const { holdId, resolved } of messages) expect((await b.get(holdId))?.status).toBe(resolved.resolution)
    }, 120_000)

    it('apply the same batch in both, in any order of holds, without a deadlock', async () => {
      const { open } = await fixture()
      const [a, b] = [open(), open()]
      const holds = Array.from({ length: 60 }, (_, i) => aHold(`h${i}`))
      const cancellations = holds.map((h) => ({ orderId: h.orderId, reason: 'booking.expired', at: T0 }))
      await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 === 0
        ? a.apply({ holds, cancellations })
        : b.apply({ holds: [...holds].reverse(), cancellations: [...cancellations].reverse() }))))
      expect(await all(a)).toHaveLength(60)
    })
  })

  it('does what a plain model does, whatever the sequence of calls', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const store = await fresh()
      const model = new Map<string, HoldState>()
      let ended = 0
      for (const s of steps) {
        ended += play(model, s)
        await run(store, s)
        const { items } = await store.list({ limit: 100 })
        expect(items.map(essence).sort()).toEqual([...model.values()].map(essence).sort())
        expect(await all(store)).toHaveLength(ended)
      }
    }), { numRuns: 25 })
  }, 120_000)
}

type Step =
  | { do: 'place'; hold: Hold }
  | { do: 'resolve'; id: string; to: 'released' | 'rejected'; by: string; at: number }
  | { do: 'expire'; now: number; limit: number }
  | { do: 'cancel'; cancellation: Cancellation }

const [id, at, schedule] = [fc.constantFrom('1', '2', '3', '4'), fc.integer({ min: T0, max: T0 + 20 }), fc.constantFrom('s-1', 's-2')]
const step: fc.Arbitrary<Step> = fc.oneof(
  // A hold's fields follow from its id: the same id is never placed with other contents.
  id.map((i): Step => ({ do: 'place', hold: aHold(i, {
    orderId: `o-${Number(i) % 2}`, scheduleId: Number(i) < 3 ? 's-1' : 's-2',
    placedAt: T0 + Number(i) * 3, expiresAt: T0 + Number(i) * 5, onExpiry: i === '4' ? 'return_to_pool' : 'confirm',
  }) })),
  fc.record({ do: fc.constant('resolve' as const), id, at, by: fc.constantFrom('anna', 'bert'), to: fc.constantFrom<'released' | 'rejected'>('released', 'rejected') }),
  fc.record({ do: fc.constant('expire' as const), now: at, limit: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant('cancel' as const), cancellation: fc.oneof(
    fc.record({ orderId: fc.constantFrom('o-0', 'o-1'), reason: fc.constant('dead'), at }),
    fc.record({ hospitalId: fc.constant('h-007'), scheduleId: schedule, reason: fc.constant('stopped'), at }),
  ) }),
)

const essence = (h: HoldState): string => [h.holdId, h.status, h.resolvedAt, h.resolvedBy, h.reason, h.action].join(' ')

async function run(store: EnforcementStore, s: Step): Promise<unknown> {
  switch (s.do) {
    case 'place': return place(store, s.hold)
    case 'resolve': return store.resolve(s.id, s.to, s.by, 'seen', s.at)
    case 'expire': return store.expireDue(s.now, s.limit)
    case 'cancel': return cancel(store, s.cancellation)
  }
}

/** The model: a map and the rules of the contract. Returns how many holds ended. */
function play(model: Map<string, HoldState>, s: Step): number {
  const end = (hold: HoldState, status: Exclude<HoldState['status'], 'active'>, resolvedBy: string, reason: string, resolvedAt: number): number => {
    model.set(hold.holdId, { ...hold, status, resolvedBy, reason, resolvedAt, action: actionOf(status, hold.onExpiry) })
    return 1
  }
  const active = [...model.values()].filter((h) => h.status === 'active')
  switch (s.do) {
    case 'place': {
      if (!model.has(s.hold.holdId)) model.set(s.hold.holdId, { ...s.hold, status: 'active' })
      return 0
    }
    case 'resolve': {
      const hold = active.find((h) => h.holdId === s.id)
      if (hold === undefined) return 0
      return s.at >= hold.expiresAt ? end(hold, 'expired', 'system', 'expired', s.at) : end(hold, s.to, s.by, 'seen', s.at)
    }
    case 'expire': {
      const due = active.filter((h) => h.expiresAt <= s.now).sort((a, b) => a.expiresAt - b.expiresAt).slice(0, s.limit)
      return due.reduce((n, h) => n + end(h, 'expired', 'system', 'expired', s.now), 0)
    }
    case 'cancel': {
      const c = s.cancellation
      const named = active.filter((h) => h.placedAt <= c.at && ('orderId' in c ? h.orderId === c.orderId : h.hospitalId === c.hospitalId && h.scheduleId === c.scheduleId))
      return named.reduce((n, h) => n + end(h, 'cancelled', 'platform', c.reason, c.at), 0)
    }
  }
}
