import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LogArena } from '../../src/adapters/memory/log-arena.js'
import { MemoryVelocityStore, type SnapshotHead } from '../../src/adapters/memory/velocity-store.js'
import type { BookingEvent } from '../../src/domain/event.js'
import { createCatalogue } from '../../src/scoring/catalogue.js'
import type { CounterSpec } from '../../src/scoring/counters.js'
import { observe } from '../../src/scoring/observe.js'
import { ENTITY_CAP, layoutOf, planVelocity } from '../../src/scoring/plan.js'
import { SHORT_TIMES_MS, START_MS, streams, tokenOf } from '../support/event-streams.js'
import { recount } from '../support/naive-recount.js'
import { expectSame, feed, probe, SHIPPED, SMALL, velocityStoreSuite } from './suites/velocity-store.js'

velocityStoreSuite('memory', (layout) => Promise.resolve(new MemoryVelocityStore({ layout })), 800)

const plan = planVelocity(SMALL)
const layout = layoutOf(plan)
const DAY_MS = 86_400_000
/** Where a counter stands among the features. */
const indexIn = (counters: readonly CounterSpec[], feature: string): number => createCatalogue(counters).get(feature)?.index ?? -1

const create = (maxBytes?: number): MemoryVelocityStore => new MemoryVelocityStore(maxBytes === undefined ? { layout } : { layout, maxBytes })

/** A request that touches one patient, account and schedule of its own. */
const requestOf = (n: number, atMs: number): BookingEvent => ({
  eventId: `r-${n}`, type: 'booking.requested', occurredAt: atMs, orderId: `r-${n}`, channel: { id: 'app', kind: 'app' },
  account: { token: tokenOf(`many ${n}`) }, patient: { token: tokenOf(`many ${n}`), idType: '01' }, slot: { hospitalId: 'h-1', scheduleId: 's-1' },
})

/** As it is written to disk and read back. */
const throughJson = (head: SnapshotHead): SnapshotHead => JSON.parse(JSON.stringify(head)) as SnapshotHead

describe('a snapshot', () => {
  it('taken and restored in the middle of a stream changes nothing', async () => {
    await fc.assert(fc.asyncProperty(streams(SHORT_TIMES_MS), fc.nat(15), async (stream, cut) => {
      let store = create()
      for (const [i, event] of stream.entries()) {
        if (i === cut) {
          const { head, pages } = store.snapshot()
          const restored = create()
          expect(restored.restore(throughJson(head), [...pages])).toBe(true)
          store = restored
        }
        await feed(store, plan, SMALL, event)
      }
      const last = probe(START_MS + 61_000)
      expectSame(await feed(store, plan, SMALL, last), recount([...stream, last], last, SMALL), 'probe')
    }), { numRuns: 300, seed: 7 })
  })

  it('shows the state at its beginning, although events go on while its pages are taken', async () => {
    const store = create()
    for (let n = 0; n < 6_000; n++) store.run(observe(plan, requestOf(n, START_MS)))
    const { head, pages } = store.snapshot()
    const saved: Uint32Array[] = []
    for (let n = 0; saved.length < 100; n++) {
      store.run(observe(plan, { ...requestOf(n, START_MS + 1), eventId: `again ${n}`, orderId: `again ${n}` }))
      const next = pages.next()
      if (next.done === true) break
      saved.push(next.value)
    }
    expect(saved.length).toBeGreaterThan(1)
    const restored = create()
    restored.restore(throughJson(head), saved)
    expect(restored.size.entities).toBeLessThan(store.size.entities)
    expect((await feed(restored, plan, SMALL, { ...requestOf(0, START_MS + 1), eventId: 'new', orderId: 'new' }))?.['patient_attempts_1s']).toBe(2)
    expect((await feed(store, plan, SMALL, { ...requestOf(0, START_MS + 1), eventId: 'new', orderId: 'new' }))?.['patient_attempts_1s']).toBe(3)
  })

  it('keeps the counts that full logs let go', async () => {
    const store = create()
    for (let n = 0; n < 1_000; n++) store.run(observe(plan, requestOf(n, START_MS)))
    const { head, pages } = store.snapshot()
    const restored = create()
    restored.restore(throughJson(head), [...pages])
    expect((await feed(restored, plan, SMALL, requestOf(1_000, START_MS)))?.['schedule_attempts_1s']).toBe(1_001)
  })

  it('of an empty store can be restored', async () => {
    const { head, pages } = create().snapshot()
    const restored = create()
    expect(restored.restore(throughJson(head), [...pages])).toBe(true)
    expect((await feed(restored, plan, SMALL, requestOf(1, START_MS)))?.['patient_attempts_1s']).toBe(1)
  })

  it('made for other counters is refused and changes nothing', async () => {
    const { head, pages } = new MemoryVelocityStore({ layout: layoutOf(planVelocity(SHIPPED)) }).snapshot()
    const store = create()
    store.run(observe(plan, requestOf(1, START_MS)))
    expect(store.restore(head, [...pages])).toBe(false)
    expect((await feed(store, plan, SMALL, { ...requestOf(1, START_MS), eventId: 'second', orderId: 'second' }))?.['patient_attempts_1s']).toBe(2)
  })

  it('ends an older one that is still under way, rather than mix two states', () => {
    const store = create()
    for (let n = 0; n < 6_000; n++) store.run(observe(plan, requestOf(n, START_MS)))
    const older = store.snapshot().pages
    older.next()
    const newer = store.snapshot().pages
    expect(() => older.next()).toThrow('newer snapshot')
    expect([...newer].length).toBeGreaterThan(1)
  })
})

describe('memory that is bounded', () => {
  it('forgets what is past the horizon, and only that', async () => {
    const store = create()
    for (let n = 0; n < 1_000; n++) store.run(observe(plan, requestOf(n, START_MS)))
    const before = store.size
    // Time goes on in steps: one event far ahead must not make everybody forgotten.
    for (let n = 0; n < 20_000; n++) store.run(observe(plan, requestOf(1_000_000 + (n % 10), START_MS + Math.floor((n / 20_000) * 180 * DAY_MS))))
    expect(store.size.entities).toBeLessThan(before.entities / 10)
    expect(store.size.bytes).toBe(before.bytes)
    expect(store.incomplete).toBe(false)
    expect((await feed(store, plan, SMALL, { ...requestOf(1_000_000, START_MS + 180 * DAY_MS), eventId: 'new' }))?.['patient_last_s']).toBeLessThan(DAY_MS / 1_000)
  })

  it('is not emptied by one event dated years ahead', async () => {
    const store = create()
    store.run(observe(plan, requestOf(1, START_MS)))
    store.run(observe(plan, requestOf(2, START_MS + 20_000 * DAY_MS)))
    for (let n = 0; n < 10_000; n++) store.run(observe(plan, requestOf(10 + (n % 5), START_MS + n)))
    expect((await feed(store, plan, SMALL, { ...requestOf(1, START_MS + 10_000), eventId: 'second', orderId: 'second' }))?.['patient_orders_1m']).toBe(2)
  })

  it('stays within its limit by giving up the least recent, and says so', async () => {
    const limit = 4 * 2 ** 20
    const store = create(limit)
    for (let n = 0; n < 30_000; n++) store.run(observe(plan, requestOf(n, START_MS + n)))
    expect(store.size.bytes).toBeLessThanOrEqual(limit)
    expect(store.incomplete).toBe(true)
    expect((await feed(store, plan, SMALL, { ...requestOf(29_999, START_MS + 30_000), eventId: 'newest', orderId: 'newest' }))?.['patient_orders_1m']).toBe(2)
    const { head } = store.snapshot()
    expect(head.incomplete).toBe(true)
  })

  it('uses the blocks of what was forgotten again', () => {
    const arena = new LogArena()
    const key = { kind: 1, hi: 2, lo: 3 }
    const first = arena.allocate(key, 10)
    arena.release(first)
    expect(arena.allocate({ ...key, lo: 4 }, 10)).toBe(first)
    expect(arena.holds(first, 1, 2, 4)).toBe(true)
    expect(arena.holds(first, 1, 2, 3)).toBe(false)
  })

  it('leaves no hole at the end of a page: a loaded arena finds every block', () => {
    const arena = new LogArena()
    for (let n = 1; n <= 40; n++) arena.allocate({ kind: 1, hi: 0, lo: n }, 12_000)
    const loaded = LogArena.load([...arena.snapshot()], arena.filled)
    const found: number[] = []
    loaded.eachBlock((address, inUse) => { if (inUse) found.push(loaded.blockAt(address).lo) })
    expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    const before = loaded.bytes
    // The rest of the first page is free for small logs.
    for (let n = 0; n < 100; n++) loaded.allocate({ kind: 2, hi: 0, lo: n }, 12)
    expect(loaded.bytes).toBe(before)
  })
})

describe('a log that is full', () => {
  const crowd = Array.from({ length: 3 * ENTITY_CAP }, (_, n) => requestOf(n, START_MS + Math.floor(n / 4) * 10))
  const end = START_MS + 1_000

  it('keeps the newest by time and hash whatever the order of arrival', async () => {
    const last: BookingEvent = { ...requestOf(0, end), eventId: 'last', orderId: 'last' }
    const seen = []
    for (const arrival of [crowd, [...crowd].reverse(), [...crowd].sort((a, b) => (a.eventId < b.eventId ? -1 : 1))]) {
      const store = create()
      for (const event of arrival) store.run(observe(plan, event))
      seen.push(await feed(store, plan, SMALL, last))
    }
    expect(seen[1]).toEqual(seen[0])
    expect(seen[2]).toEqual(seen[0])
  })

  it('names the features that are approximate, and no others', () => {
    const store = create()
    for (const event of crowd) store.run(observe(plan, event))
    const observed = store.run(observe(plan, { ...requestOf(0, end), eventId: 'last', orderId: 'last' }))
    expect(observed?.saturated).toEqual(['schedule_attempts_1s'])
    const later = store.run(observe(plan, { ...requestOf(0, end + 60_000), eventId: 'later', orderId: 'later' }))
    expect(later?.saturated).toEqual([])
    expect(later?.features[indexIn(SMALL, 'schedule_attempts_1s')]).toBe(1)
  })

  it('counts 20,000 requests of one schedule in a second to within two buckets, a 32nd of an even crowd', () => {
    const store = create()
    let observed
    for (let n = 0; n < 20_000; n++) observed = store.run(observe(plan, requestOf(n % 5_000, START_MS + Math.floor(n / 20))))
    // The same 5,000 people ask four times with the same event ids: what is still in the log counts once.
    for (let n = 0; n < 20_000; n++) observed = store.run(observe(plan, { ...requestOf(n, START_MS + 2_000 + Math.floor(n / 20)), eventId: `b-${n}`, orderId: `b-${n}` }))
    const estimate = Number(observed?.features[indexIn(SMALL, 'schedule_attempts_1s')])
    expect(Math.abs(estimate - 20_000)).toBeLessThanOrEqual(20_000 / 32)
    expect(observed?.saturated).toContain('schedule_attempts_1s')
  })

  it('counts an order once although its first request is let go before it is replaced', () => {
    const counters = SHIPPED.filter((c) => c.feature === 'schedule_orders_24h')
    const orders = planVelocity(counters)
    const store = new MemoryVelocityStore({ layout: layoutOf(orders) })
    for (let n = 0; n < 1_000; n++) store.run(observe(orders, requestOf(n, START_MS + n)))
    let observed
    for (let n = 0; n < 500; n++) observed = store.run(observe(orders, { ...requestOf(n, START_MS + 2_000 + n), eventId: `again-${n}` }))
    expect(observed?.features[indexIn(counters, 'schedule_orders_24h')]).toBe(1_000)
  })

  it('of an address shared by 5,000 patients gives a lower bound of how many they are', () => {
    const shipped = planVelocity(SHIPPED)
    const store = new MemoryVelocityStore({ layout: layoutOf(shipped) })
    let observed
    for (let n = 0; n < 5_000; n++) observed = store.run(observe(shipped, { ...requestOf(n, START_MS + n), network: { ipToken: tokenOf('nat'), prefixToken: tokenOf('nat') } }))
    expect(observed?.features[indexIn(SHIPPED, 'ip_patients_1h')]).toBe(ENTITY_CAP)
    expect(observed?.saturated).toContain('ip_patients_1h')
  })
})
