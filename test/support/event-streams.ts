import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { CANCELLED_BY, EVENT_TYPES, type BookingEvent, type EventType, type Patient, type Slot } from '../../src/domain/event.js'

/** Synthetic people only: a token is a hash of a made-up name. */
export function tokenOf(name: string): string {
  let token = tokens.get(name)
  if (token === undefined) tokens.set(name, (token = createHash('sha256').update(name).digest('hex').slice(0, 32)))
  return token
}
const tokens = new Map<string, string>()

export const START_MS = Date.UTC(2026, 10, 20, 7)

/** Pools are small so that patients, accounts, orders and slots collide. */
const oneOf = (kind: string, count: number): fc.Arbitrary<string> => fc.integer({ min: 1, max: count }).map((n) => tokenOf(`${kind} ${n}`))
/** Present three times in four. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { freq: 3, nil: undefined })

/** Leaves out what is undefined: absent means absent. */
function present<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}

const patients: fc.Arbitrary<Patient> = fc.record({
  token: oneOf('patient', 3), name: maybe(oneOf('name', 2)), phone: maybe(oneOf('phone', 2)), prefix: maybe(oneOf('prefix', 2)),
}).map(({ token, name, phone, prefix }) => present<Patient>({
  token, idType: '01',
  name: name === undefined ? undefined : { token: name, valid: true },
  phone: phone === undefined ? undefined : { token: phone, prefixToken: phone, virtualOperator: false, valid: true },
  id: prefix === undefined ? undefined : { possible: true, checksumValid: true, prefixToken: prefix, province: '11' },
}))

const slots = (timesMs: readonly number[]): fc.Arbitrary<Slot> => fc.record({
  hospitalId: fc.constantFrom('h-1', 'h-1', 'h-2'), scheduleId: fc.constantFrom('s-1', 's-1', 's-2'), slotId: maybe(fc.constantFrom('01', '01', '02')),
  departmentId: maybe(fc.constantFrom('d-1', 'd-2')), doctorId: maybe(fc.constantFrom('dr-1', 'dr-2')),
  clinic: maybe(fc.constantFrom('ordinary' as const, 'expert' as const, 'special' as const)),
  releasedAt: maybe(fc.constantFrom(...timesMs).map((t) => START_MS + t)), feeFen: maybe(fc.constantFrom(0, 1_500, 5_000)),
}).map((slot) => present<Slot>(slot))

/** Requests and what becomes of them are most of what happens. */
const types: fc.Arbitrary<EventType> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<EventType>('booking.requested') },
  { weight: 3, arbitrary: fc.constantFrom<EventType>('booking.cancelled', 'booking.cancelled', 'booking.expired', 'booking.confirmed', 'booking.paid') },
  { weight: 1, arbitrary: fc.constant<EventType>('schedule.released') },
  { weight: 3, arbitrary: fc.constantFrom(...EVENT_TYPES) },
)

const events = (timesMs: readonly number[]): fc.Arbitrary<Omit<BookingEvent, 'eventId'>> => fc.record({
  type: types, afterMs: fc.constantFrom(...timesMs), orderId: fc.constantFrom('o-1', 'o-2', 'o-3', 'o-4'), channel: fc.constantFrom('app', 'phone'),
  account: maybe(oneOf('account', 2)), patient: patients, slot: slots(timesMs), device: maybe(oneOf('device', 2)), payer: maybe(oneOf('payer', 2)),
  network: maybe(oneOf('ip', 2)), seat: maybe(oneOf('seat', 2)), by: maybe(fc.constantFrom(...CANCELLED_BY)), reRelease: fc.boolean(), bare: fc.boolean(),
}).map((e) => {
  const occurredAt = START_MS + e.afterMs
  // Half of all lifecycle events carry nothing but their order.
  const isLifecycle = e.type.startsWith('booking.') && e.type !== 'booking.requested'
  const cancel = e.type === 'booking.cancelled' ? { cancel: present<NonNullable<BookingEvent['cancel']>>({ by: e.by }) } : {}
  if (isLifecycle && e.bare) return { type: e.type, occurredAt, orderId: e.orderId, ...cancel }
  return present<Omit<BookingEvent, 'eventId'>>({
    type: e.type, occurredAt, orderId: e.type.startsWith('booking.') ? e.orderId : undefined, channel: { id: e.channel, kind: 'app' },
    account: e.account === undefined ? undefined : { token: e.account }, patient: e.patient, slot: e.slot,
    device: e.device === undefined ? undefined : { token: e.device }, payer: e.payer === undefined ? undefined : { token: e.payer },
    network: e.network === undefined ? undefined : { ipToken: e.network, prefixToken: tokenOf('one prefix') },
    operator: e.seat === undefined ? undefined : { seatToken: e.seat }, ...cancel,
    reRelease: e.type === 'schedule.released' ? e.reRelease : undefined,
  })
})

/** A stream in order of arrival, which has nothing to do with the order of its times; some events come twice. */
export const streams = (timesMs: readonly number[], maxLength = 16): fc.Arbitrary<BookingEvent[]> =>
  fc.tuple(fc.array(events(timesMs), { minLength: 2, maxLength }), fc.array(fc.nat(1_000), { maxLength: 3 })).map(([unnamed, repeats]) => {
    const named = unnamed.map((event, i): BookingEvent => ({ eventId: `e-${i}`, ...event }))
    return [...named, ...repeats.flatMap((n) => named[n % named.length] ?? [])]
  })

/** Times that fall on, just inside and just outside windows of 1 s, 10 s and 1 min, with many ties. */
export const SHORT_TIMES_MS = [0, 0, 1, 999, 1_000, 1_001, 2_000, 5_000, 9_999, 10_000, 10_001, 30_000, 59_999, 60_000, 60_001, 61_000]

const [HOUR, DAY] = [3_600_000, 86_400_000]
/** The same for the shipped windows. */
export const LONG_TIMES_MS = [0, 0, 1_000, 10_000, 60_000, 600_000, HOUR - 1, HOUR, DAY - 1, DAY, DAY + 1, 2 * DAY, 7 * DAY, 30 * DAY - 1, 30 * DAY, 40 * DAY, 90 * DAY, 90 * DAY + 1]
