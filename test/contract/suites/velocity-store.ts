import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FeatureValue } from '../../../src/domain/decision.js'
import { isBookingRequest, type BookingEvent } from '../../../src/domain/event.js'
import type { LogLayout } from '../../../src/domain/packed-log.js'
import type { VelocityStore } from '../../../src/ports/velocity-store.js'
import { createCatalogue } from '../../../src/scoring/catalogue.js'
import { parseCounters, type CounterSpec } from '../../../src/scoring/counters.js'
import { assembleFeatures } from '../../../src/scoring/features.js'
import { observe, suspect } from '../../../src/scoring/observe.js'
import { layoutOf, planVelocity, type VelocityPlan } from '../../../src/scoring/plan.js'
import { LONG_TIMES_MS, SHORT_TIMES_MS, START_MS, streams, tokenOf } from '../../support/event-streams.js'
import { named } from '../../support/features.js'
import { recount } from '../../support/naive-recount.js'

export const SHIPPED = parseCounters('rules/counters.yaml', readFileSync('rules/counters.yaml', 'utf8')).counters

/** Every operator, on short windows. */
export const SMALL = parseCounters('small.yaml', `
patient:
  attempts:    { of: booking.requested, as: attempts, measure: count, windows: [1s, 10s] }
  orders:      { of: booking.requested, as: orders, measure: count, windows: [10s, 1m] }
  departments: { of: booking.requested, as: orders, measure: distinct department, windows: [10s, 1m] }
  cancels:     { of: booking.cancelled, where: [by_patient], measure: count, windows: [1m] }
  ends:        { of: booking.cancelled, measure: count, windows: [1m] }
  last:        { of: booking.requested, as: attempts, measure: last }
account:
  gap:         { of: booking.requested, as: attempts, measure: gap_mean, windows: [10s, 1m] }
  gap_cv:      { of: booking.requested, as: orders, measure: gap_cv, windows: [1m] }
  fees:        { of: booking.requested, as: orders, measure: sum fee_fen, windows: [10s, 1m] }
  lost_fees:   { of: booking.expired, measure: sum fee_fen, windows: [1m] }
  scarce:      { of: booking.requested, as: orders, where: [scarce, at_release], measure: count, windows: [1m] }
  early:       { of: booking.cancelled, where: [before_release], measure: count, windows: [1m] }
  binds:       { of: patient.bound, measure: distinct patient, windows: [1m] }
  verified:    { of: verification.passed, measure: last }
  handoffs:    { of: slot.handed_over, where: [linked], measure: count, windows: [1m] }
  last_won:    { of: slot.won_back, measure: last }
  givers:      { of: slot.handed_over, measure: distinct giver, windows: [10s] }
schedule:
  attempts:    { of: booking.requested, as: attempts, measure: count, windows: [1s] }
  looks:       { of: slot.queried, measure: count, windows: [10s] }
pair:
  handoffs:    { of: slot.handed_over, measure: count, windows: [1m] }
`).counters

/** The same streams every time: a failure is a finding, not luck. */
const SEED = 20_261_120

type Seen = Record<string, FeatureValue>

/** The features that velocity answers for; the others are read off the event itself. */
const isVelocity = (name: string, counters: ReadonlySet<string>): boolean => counters.has(name) || /^(order|slot|handoff)_|^(rerelease_gap_s|bound_for_s)$/.test(name)

export async function feed(store: VelocityStore, plan: VelocityPlan, counters: readonly CounterSpec[], event: BookingEvent): Promise<Seen | undefined> {
  const observed = await store.run(observe(plan, event))
  if (!isBookingRequest(event) || !observed) return undefined
  const names = new Set(counters.map((c) => c.feature))
  return Object.fromEntries(Object.entries(named(assembleFeatures(event, observed), createCatalogue(counters))).filter(([name]) => isVelocity(name, names)))
}

/** Sums of squares leave a trace of rounding; everything else is equal to the last bit. */
export function expectSame(actual: Seen | undefined, expected: Seen, about: string): void {
  expect(Object.keys(actual ?? {}).sort(), about).toEqual(Object.keys(expected).sort())
  for (const [name, value] of Object.entries(expected)) {
    const seen = actual?.[name]
    if (typeof value === 'number' && typeof seen === 'number' && !Number.isInteger(value)) expect(seen, `${about}: ${name}`).toBeCloseTo(value, 6)
    else expect(seen, `${about}: ${name}`).toBe(value)
  }
}

/** A request that names nearly everything, at the end of all windows under test. */
export const probe = (occurredAt: number): BookingEvent => ({
  eventId: 'probe', type: 'booking.requested', occurredAt, orderId: 'o-1', channel: { id: 'app', kind: 'app' }, account: { token: tokenOf('account 1') },
  patient: { token: tokenOf('patient 1'), idType: '01' }, slot: { hospitalId: 'h-1', scheduleId: 's-1', slotId: '01', doctorId: 'dr-1' },
  device: { token: tokenOf('device 1') }, payer: { token: tokenOf('payer 1') }, network: { ipToken: tokenOf('ip 1'), prefixToken: tokenOf('one prefix') },
})

/** What every velocity store must do. `create` makes an empty one; `runs` is how many random streams each property sees. */
export function velocityStoreSuite(name: string, create: (layout: LogLayout) => Promise<VelocityStore>, runs: number): void {
  const sets = [
    { set: 'short windows', counters: SMALL, timesMs: SHORT_TIMES_MS, endMs: 61_000, runs },
    { set: 'the shipped counters', counters: SHIPPED, timesMs: LONG_TIMES_MS, endMs: 90 * 86_400_000, runs: Math.ceil(runs / 2) },
  ]

  it(`${name} tells whoever comes after, and shares something, of who was suspected, however often it was said`, async () => {
    const plan = planVelocity(SHIPPED), store = await create(layoutOf(plan))
    const first = probe(START_MS)
    await store.run(observe(plan, first))
    for (let again = 0; again < 3; again++) await store.run(suspect(plan, first))
    const other = (event: Partial<BookingEvent>): BookingEvent => ({ ...probe(START_MS + 60_000), orderId: 'o-2', patient: { token: tokenOf('patient 2'), idType: '01' }, ...event })
    const seen = async (event: BookingEvent): Promise<unknown[]> => {
      const features = await feed(store, plan, SHIPPED, event)
      return ['payer_suspects_30d', 'device_suspects_30d', 'account_suspects_30d', 'ip_prefix_suspects_7d', 'patient_suspected_30d'].map((one) => features?.[one])
    }
    expect(await seen(other({ eventId: 'shares all' }))).toEqual([1, 1, 1, 1, 0])
    expect(await seen(other({ eventId: 'shares a payer', device: { token: tokenOf('device 2') }, account: { token: tokenOf('account 2') }, network: {} }))).toEqual([1, 0, 0, undefined, 0])
    expect(await seen({ ...other({ eventId: 'before' }), occurredAt: START_MS - 1 })).toEqual([0, 0, 0, 0, 0])
    expect(await seen({ ...other({ eventId: 'a month later' }), occurredAt: START_MS + 31 * 86_400_000 })).toEqual([0, 0, 0, 0, 0])
    expect(await seen({ ...first, eventId: 'the same patient again', occurredAt: START_MS + 1 })).toEqual([1, 1, 1, 1, 1])
  })

  describe.each(sets)(`${name} with $set`, ({ counters, timesMs, endMs, runs: numRuns }) => {
    const plan = planVelocity(counters)
    const layout = layoutOf(plan)

    it('tells of every request, as it arrives, what a naive recount of all that had arrived tells', async () => {
      await fc.assert(fc.asyncProperty(streams(timesMs), async (stream) => {
        const store = await create(layout)
        for (const [i, event] of stream.entries()) {
          const seen = await feed(store, plan, counters, event)
          if (isBookingRequest(event)) expectSame(seen, recount(stream.slice(0, i + 1), event, counters), `after ${i + 1} events`)
        }
      }), { numRuns, seed: SEED })
    })

    it('ends in the same state whatever the order of arrival', async () => {
      await fc.assert(fc.asyncProperty(streams(timesMs), fc.infiniteStream(fc.nat()), async (stream, random) => {
        const order = new Map(stream.map((event) => [event, random.next().value ?? 0]))
        const shuffled = [...stream].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
        const last = probe(START_MS + endMs)
        for (const arrival of [stream, shuffled]) {
          const store = await create(layout)
          for (const event of arrival) await store.run(observe(plan, event))
          expectSame(await feed(store, plan, counters, last), recount([...arrival, last], last, counters), 'probe')
        }
      }), { numRuns: Math.ceil(numRuns / 2), seed: SEED })
    })

    it('is not moved by a stream that comes twice', async () => {
      await fc.assert(fc.asyncProperty(streams(timesMs, 10), async (stream) => {
        const store = await create(layout)
        for (const event of [...stream, ...stream]) await store.run(observe(plan, event))
        const last = probe(START_MS + endMs)
        expectSame(await feed(store, plan, counters, last), recount([...stream, last], last, counters), 'probe')
      }), { numRuns: Math.ceil(numRuns / 4), seed: SEED })
    })
  })
}
