import type { FeatureValue } from '../../src/domain/decision.js'
import { isBookingRequest, type BookingEvent, type EventType } from '../../src/domain/event.js'
import { hash64 } from '../../src/domain/hash.js'
import type { CounterSpec, Dimension, Flag, Verb } from '../../src/scoring/counters.js'

/**
 * The norm of docs/velocity.md, said a second time and as plainly as possible: straight from the events, with strings for
 * keys and a fresh pass for every answer. It shares no code with the packed logs; only the event hash, which breaks ties.
 */
type Dims = Partial<Record<Dimension, string>>

/** Something that happened, about somebody: an event, or what custody makes of one. */
interface Happening { id: string; t: number; verb: Verb; dims: Dims; flags: ReadonlySet<Flag>; feeFen: number; superseded: boolean }

interface Request extends Happening { order: string; slot: string | undefined }
/** A lifecycle event with the request it belongs to. `channel`: the one it came by itself. */
interface Owned { event: BookingEvent; owner: Request; channel: string | undefined }
interface Hand { order: string; first: Request }
interface HandOff { giver: Request; taker: Request; end: Owned }

const LIFECYCLE: readonly EventType[] = ['booking.confirmed', 'booking.paid', 'booking.expired', 'booking.cancelled', 'booking.attended', 'booking.no_show']
const DAY_MS = 86_400_000
const SHARED: readonly Dimension[] = ['account', 'device', 'payer', 'phone']
/** What custody knows of a hand. */
const HAND_DIMENSIONS: readonly Dimension[] = [...SHARED, 'patient', 'ip', 'ip_prefix']

export function recount(arrived: readonly BookingEvent[], request: BookingEvent, counters: readonly CounterSpec[]): Record<string, FeatureValue> {
  const events = [...new Map(arrived.map((e) => [e.eventId, e])).values()]
  const t = request.occurredAt
  const requests = allRequests(events)
  const owned = allOwned(events, requests)
  const slots = [...new Set(requests.flatMap((r) => (r.slot === undefined ? [] : [r.slot])))]
  const chains = new Map(slots.map((slot) => [slot, chainOf(slot, events, requests, owned)]))
  const happenings: Happening[] = [
    ...requests, ...owned.map(asHappening), ...[...chains.values()].flatMap((c) => c.derived),
    ...events.filter((e) => e.type !== 'booking.requested' && !LIFECYCLE.includes(e.type)).map((e) => happeningOf(e)),
  ]
  const features: Record<string, FeatureValue> = {}
  const own = happeningOf(request)
  const slot = slotOf(request)
  const chain = slot === undefined ? undefined : chains.get(slot)
  const handOff = chain?.handOffs.get(request.orderId ?? '')
  const keys: Dims = { ...own.dims, ...(handOff ? pairOf(handOff) : {}) }

  for (const spec of counters) {
    const key = keys[spec.entity]
    if (key === undefined) continue
    const matching = happenings
      .filter((h) => h.verb === spec.verb && h.dims[spec.entity] === key && h.t <= t && h.t > t - (spec.windowMs ?? Infinity))
      .filter((h) => spec.where.every((flag) => h.flags.has(flag)) && !(spec.as === 'orders' && h.superseded))
    const value = measure(spec, matching, own)
    if (value !== undefined) features[spec.feature] = value
  }
  Object.assign(features, orderFeatures(request, events), chain ? slotFeatures(request, chain, handOff) : {}, boundFeature(request, events))
  return features
}

function measure({ measure: m }: CounterSpec, matching: Happening[], own: Happening): number | undefined {
  const times = matching.map((h) => h.t).sort((a, b) => a - b)
  const gaps = times.slice(1).map((time, i) => (time - (times[i] ?? 0)) / 1000)
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length
  switch (m.kind) {
    case 'count': return matching.length
    case 'sum': return matching.reduce((fen, h) => fen + h.feeFen, 0)
    case 'distinct': return new Set(matching.flatMap((h) => h.dims[m.of] ?? [])).size
    case 'last': {
      const others = matching.filter((h) => h.id !== own.id)
      return others.length === 0 ? undefined : (own.t - Math.max(...others.map((h) => h.t))) / 1000
    }
    case 'gap_mean': return gaps.length === 0 ? undefined : mean
    case 'gap_cv': return gaps.length < 3 || mean === 0 ? undefined : Math.sqrt(gaps.reduce((sum, g) => sum + (g - mean) ** 2, 0) / gaps.length) / mean
  }
}

// ---- orders

const hashOf = (id: string): number => { const { hi, lo } = hash64(id); return hi * 2 ** 32 + lo }
/** By time, then event hash. */
const earlier = (a: { t: number; id: string }, b: { t: number; id: string }): number => a.t - b.t || hashOf(a.id) - hashOf(b.id)

function allRequests(events: readonly BookingEvent[]): Request[] {
  const requests = events.filter(isBookingRequest).map((e): Request => ({ ...happeningOf(e), order: e.orderId, slot: slotOf(e) })).sort(earlier)
  return requests.map((r, i) => ({ ...r, superseded: requests.slice(i + 1).some((later) => later.order === r.order) }))
}

function allOwned(events: readonly BookingEvent[], requests: readonly Request[]): Owned[] {
  return events.filter((e) => LIFECYCLE.includes(e.type)).flatMap((event) => {
    const mine = requests.filter((r) => r.order === event.orderId)
    const owner = mine.filter((r) => r.t <= event.occurredAt).at(-1) ?? mine[0]
    return owner ? [{ event, owner, channel: event.channel?.id }] : []
  })
}

const byPatient = (e: BookingEvent): boolean => e.type === 'booking.cancelled' && (e.cancel?.by === 'patient' || e.cancel?.by === 'window')

function asHappening({ event, owner }: Owned): Happening {
  const flags = new Set(owner.flags)
  if (byPatient(event)) flags.add('by_patient')
  return { id: event.eventId, t: event.occurredAt, verb: event.type, dims: owner.dims, flags, feeFen: owner.feeFen, superseded: false }
}

function orderFeatures(request: BookingEvent, events: readonly BookingEvent[]): Record<string, FeatureValue> {
  const mine = events.filter((e) => e.orderId === request.orderId)
  const at = (e: BookingEvent): { t: number; id: string } => ({ t: e.occurredAt, id: e.eventId })
  const attempt = mine.filter((e) => e.type === 'booking.requested' && earlier(at(e), at(request)) <= 0).length
  return {
    order_attempt: attempt,
    order_confirmed: mine.some((e) => e.type === 'booking.confirmed' || e.type === 'booking.paid'),
    order_ended: mine.some((e) => (e.type === 'booking.cancelled' || e.type === 'booking.expired') && (e.occurredAt >= request.occurredAt || attempt === 1)),
  }
}

function boundFeature(request: BookingEvent, events: readonly BookingEvent[]): Record<string, FeatureValue> {
  const stated = request.patient?.boundAt
  const seen = events.filter((e) => e.type === 'patient.bound' && e.account !== undefined && e.account.token === request.account?.token
    && e.patient?.token === request.patient?.token && e.occurredAt <= request.occurredAt).map((e) => e.occurredAt)
  const boundAt = stated ?? (seen.length > 0 ? Math.max(...seen) : undefined)
  return boundAt === undefined ? {} : { bound_for_s: (request.occurredAt - boundAt) / 1000 }
}

// ---- custody

interface Chain { hands: Hand[]; ends: Owned[]; reReleases: number[]; handOffs: Map<string, HandOff>; derived: Happening[] }

function chainOf(slot: string, events: readonly BookingEvent[], requests: readonly Request[], owned: readonly Owned[]): Chain {
  const here = requests.filter((r) => r.slot === slot)
  const hands = [...new Set(here.map((r) => r.order))].flatMap((order) => here.filter((r) => r.order === order).slice(0, 1).map((first) => ({ order, first })))
  const said = owned.filter((o) => o.owner.slot === slot)
  const ends = said.filter(({ event }) => event.type === 'booking.expired' || byPatient(event)).sort(byEnd)
  const confirmed = said.filter(({ event }) => event.type === 'booking.confirmed' || event.type === 'booking.paid')
  const reReleases = events.filter((e) => e.type === 'schedule.released' && e.reRelease === true && slotOf(e) === slot).map((e) => e.occurredAt)

  const handOffs = new Map<string, HandOff>()
  const derived: Happening[] = []
  for (const { order, first: taker } of hands) {
    const dims = pick(taker.dims)
    const made = { id: taker.id, t: taker.t, feeFen: 0, superseded: false }
    if (reReleases.some((at) => at <= taker.t)) derived.push({ ...made, verb: 'slot.won_back', dims, flags: new Set() })

    const end = ends.filter((e) => e.owner.order !== order && e.event.occurredAt <= taker.t).at(-1)
    if (!end || taker.t - end.event.occurredAt > DAY_MS) continue
    const giver = hands.find((h) => h.order === end.owner.order)?.first
    const third = confirmed.some((c) => c.owner.order !== order && c.owner.order !== end.owner.order
      && c.event.occurredAt > end.event.occurredAt && c.event.occurredAt <= taker.t)
    if (!giver || third) continue
    const handOff = { giver, taker, end }
    handOffs.set(order, handOff)
    if (giver.dims.patient !== undefined && giver.dims.patient === taker.dims.patient) continue
    const linked = SHARED.some((d) => giver.dims[d] !== undefined && giver.dims[d] === taker.dims[d])
    const from = giver.dims.patient === undefined ? {} : { giver: giver.dims.patient }
    derived.push({ ...made, verb: 'slot.handed_over', dims: { ...dims, ...from, ...pairOf(handOff) }, flags: new Set<Flag>(linked ? ['linked'] : []) })
  }
  return { hands, ends, reReleases, handOffs, derived }
}

/** By time; at the same instant an expiry before a cancel, then by event hash. */
const byEnd = (a: Owned, b: Owned): number => a.event.occurredAt - b.event.occurredAt
  || Number(a.event.type === 'booking.cancelled') - Number(b.event.type === 'booking.cancelled') || hashOf(a.event.eventId) - hashOf(b.event.eventId)

const pick = (dims: Dims): Dims => Object.fromEntries(HAND_DIMENSIONS.flatMap((d) => (dims[d] === undefined ? [] : [[d, dims[d]]])))

const pairOf = ({ giver, taker }: HandOff): Dims =>
  giver.dims.account === undefined || taker.dims.account === undefined ? {} : { pair: `${giver.dims.account}>${taker.dims.account}` }

function slotFeatures(request: BookingEvent, chain: Chain, handOff: HandOff | undefined): Record<string, FeatureValue> {
  const t = request.occurredAt
  const own = chain.hands.find((h) => h.order === request.orderId)
  if (!own) throw new Error('a request is a hand of its own slot')
  const reReleased = chain.reReleases.filter((at) => at <= t)
  const features: Record<string, FeatureValue> = {
    slot_hands: chain.hands.filter((h) => h !== own && h.first.t <= own.first.t).length,
    slot_returns: chain.ends.filter((e) => e.owner.order !== own.order && e.event.occurredAt <= t).length,
  }
  if (reReleased.length > 0) features['rerelease_gap_s'] = (t - Math.max(...reReleased)) / 1000
  if (!handOff) return features
  const { giver, taker, end } = handOff
  features['handoff_gap_s'] = (taker.t - end.event.occurredAt) / 1000
  const gaveBy = end.channel ?? giver.dims.channel
  if (gaveBy !== undefined && taker.dims.channel !== undefined) features['handoff_cross_channel'] = gaveBy !== taker.dims.channel
  const alike = (d: Dimension): boolean | undefined => giver.dims[d] === undefined || taker.dims[d] === undefined ? undefined : giver.dims[d] === taker.dims[d]
  const same = alike('patient')
  if (same !== undefined) features['handoff_same_patient'] = same
  for (const d of [...SHARED, 'ip', 'ip_prefix'] as const) {
    const shares = alike(d)
    if (shares !== undefined) features[`handoff_shares_${d}`] = shares
  }
  const comparable = SHARED.map(alike).filter((shares) => shares !== undefined)
  if (comparable.length > 0) features['handoff_shared'] = comparable.filter(Boolean).length
  return features
}

// ---- what an event says

const slotOf = ({ slot }: BookingEvent): string | undefined => slot?.slotId === undefined ? undefined : JSON.stringify([slot.hospitalId, slot.scheduleId, slot.slotId])

function happeningOf(e: BookingEvent): Happening {
  const { slot, patient, network } = e
  const of = (id: string | undefined): string | undefined => slot === undefined || id === undefined ? undefined : JSON.stringify([slot.hospitalId, id])
  const said: Partial<Record<Dimension, string | undefined>> = {
    patient: patient?.token, name: patient?.name?.token, phone: patient?.phone?.token, id_prefix: patient?.id?.prefixToken,
    account: e.account?.token, device: e.device?.token, payer: e.payer?.token, ip: network?.ipToken, ip_prefix: network?.prefixToken,
    seat: e.operator?.seatToken ?? e.operator?.token, channel: e.channel?.id,
    hospital: slot?.hospitalId, department: of(slot?.departmentId), doctor: of(slot?.doctorId), schedule: of(slot?.scheduleId),
  }
  const dims: Dims = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
  const flags = new Set<Flag>()
  if (byPatient(e)) flags.add('by_patient')
  if (slot?.clinic === 'expert' || slot?.clinic === 'special') flags.add('scarce')
  if (slot?.releasedAt !== undefined && e.occurredAt < slot.releasedAt) flags.add('before_release')
  if (slot?.releasedAt !== undefined && e.occurredAt >= slot.releasedAt && e.occurredAt <= slot.releasedAt + 5_000) flags.add('at_release')
  return { id: e.eventId, t: e.occurredAt, verb: e.type, dims, flags, feeFen: slot?.feeFen ?? 0, superseded: false }
}
