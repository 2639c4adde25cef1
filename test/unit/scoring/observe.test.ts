import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryVelocityStore } from '../../../src/adapters/memory/velocity-store.js'
import type { FeatureValue } from '../../../src/domain/decision.js'
import type { BookingEvent, EventType } from '../../../src/domain/event.js'
import { createCatalogue } from '../../../src/scoring/catalogue.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { observe, queueKeyOf, recordTurn, takeTurn, type Observed } from '../../../src/scoring/observe.js'
import type { OrderState } from '../../../src/scoring/orders.js'
import { layoutOf, planVelocity } from '../../../src/scoring/plan.js'
import { START_MS, tokenOf } from '../../support/event-streams.js'
import { named } from '../../support/features.js'

const { counters } = parseCounters('c.yaml', `
patient:
  attempts:  { of: booking.requested, as: attempts, measure: count, windows: [1h] }
  orders:    { of: booking.requested, as: orders, measure: count, windows: [1h] }
  cancels:   { of: booking.cancelled, where: [by_patient], measure: count, windows: [1h] }
  early:     { of: booking.cancelled, where: [before_release], measure: count, windows: [1h] }
  attended:  { of: booking.attended, measure: count, windows: [1h] }
account:
  handoffs:  { of: slot.handed_over, where: [linked], measure: count, windows: [1h] }
  any:       { of: slot.handed_over, measure: count, windows: [1h] }
  wins:      { of: slot.won_back, measure: count, windows: [1h] }
  binds:     { of: patient.bound, measure: distinct patient, windows: [1h] }
pair:
  handoffs:  { of: slot.handed_over, measure: count, windows: [1h] }
`)
const catalogue = createCatalogue(counters)
const plan = planVelocity(counters)

let store: MemoryVelocityStore
let serial: number
beforeEach(() => {
  store = new MemoryVelocityStore({ layout: layoutOf(plan) })
  serial = 0
})

interface Given { at: number; order?: string; patient?: string; account?: string; slot?: string; device?: string; by?: 'patient' | 'hospital'; releasedAt?: number; re?: boolean; id?: string }

function eventOf(type: EventType, { at, order, patient, account, slot, device, by, releasedAt, re, id }: Given): BookingEvent {
  return {
    eventId: id ?? `e-${serial++}`, type, occurredAt: START_MS + at * 1_000,
    ...(order === undefined ? {} : { orderId: order }),
    ...(patient === undefined ? {} : { patient: { token: tokenOf(patient), idType: '01' } }),
    ...(account === undefined ? {} : { account: { token: tokenOf(account) } }),
    ...(device === undefined ? {} : { device: { token: tokenOf(device) } }),
    ...(slot === undefined ? {} : { slot: { hospitalId: 'h', scheduleId: 's', slotId: slot, ...(releasedAt === undefined ? {} : { releasedAt: START_MS + releasedAt * 1_000 }) } }),
    ...(by === undefined ? {} : { cancel: { by } }),
    ...(re === undefined ? {} : { reRelease: re }),
  }
}

const happen = (type: EventType, given: Given): Observed | undefined => store.run(observe(plan, eventOf(type, given)))
function request(given: Given): Omit<Observed, 'features' | 'order'> & { features: Record<string, FeatureValue>; order: OrderState } {
  const observed = happen('booking.requested', given)
  if (!observed?.order) throw new Error('a request is observed, and its order with it')
  return { ...observed, order: observed.order, features: named(observed.features, catalogue) }
}
const featuresOf = (given: Given): Record<string, FeatureValue> => request(given).features

describe('an order', () => {
  it('that is asked for again counts once as an order and twice as an attempt', () => {
    featuresOf({ at: 0, order: 'o', patient: 'a' })
    expect(featuresOf({ at: 1, order: 'o', patient: 'a' })).toMatchObject({ patient_orders_1h: 1, patient_attempts_1h: 2 })
  })

  it('whose earlier request arrives late counts once as well', () => {
    featuresOf({ at: 1, order: 'o', patient: 'a' })
    featuresOf({ at: 0, order: 'o', patient: 'a' })
    expect(featuresOf({ at: 2, order: 'other', patient: 'a' })).toMatchObject({ patient_orders_1h: 2, patient_attempts_1h: 3 })
  })

  it('that is asked for again for another patient moves to that patient', () => {
    featuresOf({ at: 0, order: 'o', patient: 'a' })
    expect(featuresOf({ at: 1, order: 'o', patient: 'b' })['patient_orders_1h']).toBe(1)
    expect(featuresOf({ at: 2, order: 'other', patient: 'a' })['patient_orders_1h']).toBe(1)
  })

  it('has two requests at one instant superseded by event hash, whichever came first', () => {
    const pair = [{ at: 0, order: 'o', patient: 'a', id: 'x' }, { at: 0, order: 'o', patient: 'b', id: 'y' }]
    const ordersAfter = (arrival: Given[]): unknown[] => {
      store = new MemoryVelocityStore({ layout: layoutOf(plan) })
      for (const given of arrival) request(given)
      return ['a', 'b'].map((patient) => featuresOf({ at: 1, order: patient, patient })['patient_orders_1h'])
    }
    const seen = ordersAfter(pair)
    expect([...seen].sort()).toEqual([1, 2])
    expect(ordersAfter([...pair].reverse())).toEqual(seen)
  })

  it('knows its attempts, and what has arrived of its confirmation and its end, whatever their time', () => {
    request({ at: 0, order: 'o', patient: 'a' })
    expect(request({ at: 1, order: 'o', patient: 'a' }).order).toMatchObject({ attempt: 2, confirmed: false, ended: false })
    happen('booking.confirmed', { at: 5, order: 'o' })
    happen('booking.expired', { at: 9, order: 'o' })
    expect(request({ at: 4, order: 'o', patient: 'a' }).order).toMatchObject({ attempt: 3, confirmed: true, ended: true })
    expect(request({ at: 9, order: 'o', patient: 'a' }).order).toMatchObject({ attempt: 4, ended: true })
  })

  it('that is asked for again after its end has not ended; one whose end came before its first request has', () => {
    request({ at: 0, order: 'o', patient: 'a' })
    for (const order of ['o', 'p']) happen('booking.expired', { at: 9, order })
    expect(request({ at: 10, order: 'o', patient: 'a' }).order).toMatchObject({ attempt: 2, ended: false })
    expect(request({ at: 10, order: 'p', patient: 'a' }).order).toMatchObject({ attempt: 1, ended: true })
  })

  it('that is asked for a hundred times is marked, and still counts once', () => {
    let last
    for (let i = 0; i < 100; i++) last = request({ at: i, order: 'o', patient: 'a' })
    expect(last?.features['patient_orders_1h']).toBe(1)
    expect(last?.saturated).toContain('order_attempt')
    // Older than all that is kept: superseded when it arrives.
    expect(request({ at: -1, order: 'o', patient: 'a' }).features['patient_orders_1h']).toBe(0)
  })
})

describe('a lifecycle event', () => {
  it('that carries only its order counts for the patient of the request', () => {
    request({ at: 0, order: 'o', patient: 'a' })
    happen('booking.attended', { at: 1, order: 'o' })
    expect(featuresOf({ at: 2, order: 'other', patient: 'a' })['patient_attended_1h']).toBe(1)
  })

  it('that comes before any request waits for it', () => {
    happen('booking.cancelled', { at: 1, order: 'o', by: 'patient' })
    expect(featuresOf({ at: 2, order: 'other', patient: 'a' })['patient_cancels_1h']).toBe(0)
    request({ at: 0, order: 'o', patient: 'a' })
    expect(featuresOf({ at: 3, order: 'third', patient: 'a' })['patient_cancels_1h']).toBe(1)
  })

  it('belongs to the latest request at or before it', () => {
    request({ at: 0, order: 'o', patient: 'a' })
    request({ at: 10, order: 'o', patient: 'b' })
    happen('booking.cancelled', { at: 10, order: 'o', by: 'patient' })
    happen('booking.attended', { at: 9, order: 'o' })
    expect(featuresOf({ at: 20, order: 'pa', patient: 'a' })).toMatchObject({ patient_cancels_1h: 0, patient_attended_1h: 1 })
    expect(featuresOf({ at: 20, order: 'pb', patient: 'b' })).toMatchObject({ patient_cancels_1h: 1, patient_attended_1h: 0 })
  })

  it('moves to an earlier request that arrives late, and counts once', () => {
    request({ at: 10, order: 'o', patient: 'b' })
    happen('booking.cancelled', { at: 5, order: 'o', by: 'patient' })
    expect(featuresOf({ at: 20, order: 'p1', patient: 'b' })['patient_cancels_1h']).toBe(1)
    request({ at: 0, order: 'o', patient: 'a' })
    expect(featuresOf({ at: 21, order: 'p2', patient: 'b' })['patient_cancels_1h']).toBe(0)
    expect(featuresOf({ at: 21, order: 'p3', patient: 'a' })['patient_cancels_1h']).toBe(1)
  })

  it('has the flags of its request, not of a slot that it names itself', () => {
    request({ at: 0, order: 'o', patient: 'a', slot: '1', releasedAt: 5 })
    happen('booking.cancelled', { at: 6, order: 'o', slot: '1', releasedAt: 0 })
    request({ at: 0, order: 'p', patient: 'b', slot: '1', releasedAt: -100 })
    happen('booking.cancelled', { at: 6, order: 'p', slot: '1', releasedAt: 50 })
    expect(featuresOf({ at: 7, order: 'q', patient: 'a' })['patient_early_1h']).toBe(1)
    expect(featuresOf({ at: 7, order: 'r', patient: 'b' })['patient_early_1h']).toBe(0)
  })

  it('is no fault of the patient when the hospital cancels', () => {
    request({ at: 0, order: 'o', patient: 'a' })
    happen('booking.cancelled', { at: 1, order: 'o', by: 'hospital' })
    expect(featuresOf({ at: 2, order: 'other', patient: 'a' })['patient_cancels_1h']).toBe(0)
  })
})

describe('a slot that changes hands', () => {
  const give = (order: string, patient: string, account: string, at = 0, device?: string): void => {
    request({ at, order, patient, account, slot: '7', ...(device === undefined ? {} : { device }) })
    happen('booking.cancelled', { at: at + 10, order, by: 'patient' })
  }

  it('is a hand-off, linked by what the two share, and the pair is remembered', () => {
    give('o1', 'a', 'x', 0, 'd')
    const { features, custody } = request({ at: 13, order: 'o2', patient: 'b', account: 'y', slot: '7', device: 'd' })
    expect(custody?.handOff).toMatchObject({ gapMs: 3_000, same: { patient: false, account: false, device: true }, shared: 1 })
    expect(features).toMatchObject({ account_handoffs_1h: 1, account_any_1h: 1, pair_handoffs_1h: 1 })
  })

  it('between strangers is counted, but not as linked', () => {
    give('o1', 'a', 'x')
    expect(featuresOf({ at: 13, order: 'o2', patient: 'b', account: 'y', slot: '7' })).toMatchObject({ account_handoffs_1h: 0, account_any_1h: 1 })
  })

  it('within the same patient is shown, but not counted', () => {
    give('o1', 'a', 'x')
    const { features, custody } = request({ at: 13, order: 'o2', patient: 'a', account: 'x', slot: '7' })
    expect(custody?.handOff?.same.patient).toBe(true)
    expect(features).toMatchObject({ account_any_1h: 0, pair_handoffs_1h: 0 })
  })

  it('is found afterwards when the cancel arrives late, and counted once however often it comes', () => {
    request({ at: 0, order: 'o1', patient: 'a', account: 'x', slot: '7' })
    expect(request({ at: 13, order: 'o2', patient: 'b', account: 'x', slot: '7' }).custody?.handOff).toBeUndefined()
    for (let i = 0; i < 3; i++) happen('booking.cancelled', { at: 10, order: 'o1', by: 'patient', id: 'late' })
    expect(featuresOf({ at: 20, order: 'o3', patient: 'c', account: 'x', slot: '8' })).toMatchObject({ account_handoffs_1h: 1, account_any_1h: 1 })
  })

  it('is taken back when it turns out that a third order had it in between', () => {
    give('o1', 'a', 'x')
    request({ at: 15, order: 'o3', patient: 'c', account: 'x', slot: '7' })
    request({ at: 11, order: 'o2', patient: 'b', account: 'z', slot: '7' })
    happen('booking.confirmed', { at: 12, order: 'o2' })
    expect(featuresOf({ at: 20, order: 'o4', patient: 'd', account: 'x', slot: '8' })['account_any_1h']).toBe(0)
    expect(featuresOf({ at: 20, order: 'o5', patient: 'd', account: 'z', slot: '8' })['account_any_1h']).toBe(1)
  })

  it('is won back by whoever asks after its re-release, told in any order', () => {
    request({ at: 5, order: 'o1', patient: 'a', account: 'x', slot: '7' })
    request({ at: 4, order: 'o2', patient: 'b', account: 'y', slot: '7' })
    happen('schedule.released', { at: 5, slot: '7', re: true })
    happen('schedule.released', { at: 1, slot: '8', re: true })
    expect(featuresOf({ at: 9, order: 'o3', patient: 'a', account: 'x', slot: '9' })['account_wins_1h']).toBe(1)
    expect(featuresOf({ at: 9, order: 'o4', patient: 'b', account: 'y', slot: '9' })['account_wins_1h']).toBe(0)
  })

  it('that is asked for by hundreds is marked, and its holder is not pushed out by the first of them', () => {
    give('o1', 'a', 'x', 0, 'd')
    let last
    for (let i = 0; i < 250; i++) last = request({ at: 11, order: `crowd ${i}`, patient: `p${i}`, account: `p${i}`, slot: '7', device: 'd' })
    expect(last?.custody?.handOff?.same.device).toBe(true)
    expect(last?.saturated).toEqual([])
    for (let i = 250; i < 300; i++) last = request({ at: 11, order: `crowd ${i}`, patient: `p${i}`, account: `p${i}`, slot: '7', device: 'd' })
    expect(last?.saturated).toEqual(['slot_hands', 'slot_returns'])
  })
})

describe('a patient bound to an account', () => {
  it('is dated by the latest binding at or before the request', () => {
    const bind = (at: number, patient: string): unknown => happen('patient.bound', { at, patient, account: 'x' })
    for (const [at, patient] of [[1, 'a'], [5, 'a'], [9, 'a'], [6, 'b']] as const) bind(at, patient)
    expect(request({ at: 8, order: 'o', patient: 'a', account: 'x' }).boundAt).toBe(START_MS + 5_000)
    expect(request({ at: 9, order: 'o2', patient: 'a', account: 'x' }).boundAt).toBe(START_MS + 9_000)
    expect(request({ at: 9, order: 'o3', patient: 'c', account: 'x' }).boundAt).toBeUndefined()
    expect(request({ at: 9, order: 'o4', patient: 'a' }).boundAt).toBeUndefined()
  })
})

describe('the slow queue', () => {
  const keyOf = (order: string): NonNullable<ReturnType<typeof queueKeyOf>> => {
    const key = queueKeyOf(eventOf('booking.requested', { at: 0, order, patient: 'a', slot: '7', id: `request of ${order}` }))
    if (!key) throw new Error('a request with a schedule has a queue')
    return key
  }

  it('gives turns one after the other, none before the wait is over', () => {
    const turns = [0, 0, 0, 60_000].map((t, i) => store.run(takeTurn(keyOf(`o${i}`), START_MS + t, 5_000, 2_000.5)))
    expect(turns.map((t) => t - START_MS)).toEqual([5_000, 7_001, 9_002, 65_000])
  })

  it('is remembered by the order, for requests after the one that got the turn', () => {
    store.run(takeTurn(keyOf('o'), START_MS, 5_000, 1_000))
    expect(request({ at: 6, order: 'o', patient: 'a' }).order.turnAt).toBe(START_MS + 5_000)
    expect(request({ at: -1, order: 'o', patient: 'a' }).order.turnAt).toBeUndefined()
  })

  it('is the same after a recovery that gives the turns out again', () => {
    const turn = store.run(takeTurn(keyOf('o'), START_MS, 5_000, 1_000))
    for (let i = 0; i < 2; i++) store.run(recordTurn(keyOf('o'), START_MS, turn))
    expect(store.run(takeTurn(keyOf('next'), START_MS, 0, 1_000))).toBe(turn + 1_000)
  })

  it('is there only for requests with an order and a schedule', () => {
    expect(queueKeyOf(eventOf('booking.requested', { at: 0, order: 'o', patient: 'a' }))).toBeUndefined()
  })
})
