import { idOf, pick, seeded, somebody, type Person } from './people.js'

/** An event as it goes over the wire. */
export interface WireEvent {
  event_id: string
  type: string
  occurred_at: string
  order_id?: string
  slot?: { hospital_id: string; schedule_id: string }
  [member: string]: unknown
}

/** What one patient or gang does, in the order in which it happens. Times of different stories overlap. */
export interface Story { key: string; events: WireEvent[] }

export interface TrafficOptions {
  seed: number
  /** About so many events in all. */
  events: number
  /** Epoch milliseconds; everything happens in the hour before. */
  endMs: number
  hospitals: readonly string[]
  /** When visits of a hospital's slots are, epoch milliseconds; in a week unless told. */
  visitAt?: (hospital: string) => number
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** One gang for so many events; each brings about seven holds, so that one event in twenty becomes one. */
const EVENTS_PER_GANG = 130
const BURST = 6
const HAND_OFFS = 1

/**
 * A seeded hour of a city: patients who look, book, pay, attend or cancel, and gangs whose bots take slots at the release second with
 * IDs in a row and one payer, then hand them over to buyers by cancelling and booking again within seconds.
 */
export function cityTraffic(options: TrafficOptions): Story[] {
  const { seed, events, endMs, hospitals } = options
  const random = seeded(seed)
  const visitAt = options.visitAt ?? (() => endMs + 7 * DAY_MS)
  const gangs = Math.max(hospitals.length, Math.floor(events / EVENTS_PER_GANG))
  const stories: Story[] = []
  let count = 0
  const add = (story: Story): void => { stories.push(story); count += story.events.length }
  for (let n = 0; n < gangs; n++) {
    // In turn, so that each hospital has its share of holds.
    const hospital = hospitals[n % hospitals.length] ?? 'h-1'
    add(gangStory(`${seed}-g${n}`, endMs - (5 + random() * 50) * MINUTE_MS, hospital, visitAt(hospital), random))
  }
  for (let n = 0; count < events; n++) {
    const hospital = pick(random, hospitals)
    add(patientStory(`${seed}-p${n}`, endMs - (5 + random() * 50) * MINUTE_MS, hospital, visitAt(hospital), random))
  }
  return stories
}

const iso = (ms: number): string => new Date(ms).toISOString()
const address = (random: () => number): string => `10.${Math.floor(random() * 250)}.${Math.floor(random() * 250)}.${1 + Math.floor(random() * 250)}`

function slotOf(hospital: string, schedule: string, releasedMs: number, visitMs: number, number?: number) {
  return {
    hospital_id: hospital, department_id: 'cardiology', doctor_id: `d-${schedule}`, clinic: 'expert', schedule_id: schedule,
    visit_at: iso(visitMs), released_at: iso(releasedMs), fee_fen: 5_000, ...(number === undefined ? {} : { slot_id: `${schedule}-${number}` }),
  }
}

const patientOf = (person: Person, boundMs: number, relation = 'self') => ({
  id_type: '01', id_number: person.idNumber, name: person.name, phone: person.phone, sex: person.sex, birth_date: person.birthDate, relation, bound_at: iso(boundMs),
})

function patientStory(id: string, startMs: number, hospital: string, visitMs: number, random: () => number): Story {
  const at = (minutes: number): string => iso(startMs + minutes * MINUTE_MS)
  const schedule = `s-${hospital}-${Math.floor(random() * 40)}`
  const account = { id: `a-${id}`, registered_at: iso(startMs - 400 * DAY_MS) }
  const device = { id: `dv-${id}`, model: `M${Math.floor(random() * 30)}`, os: 'android 14' }
  const network = { ip: address(random), proxy: false, datacenter: false }
  const slot = slotOf(hospital, schedule, startMs - 30 * MINUTE_MS, visitMs, Math.floor(random() * 1e6))
  const order = { order_id: `o-${id}` }
  const events: WireEvent[] = [
    { event_id: `e-${id}-1`, type: 'account.logged_in', occurred_at: at(0), account, device, network },
    { event_id: `e-${id}-2`, type: 'slot.queried', occurred_at: at(0.5), account, device, network, slot },
    {
      event_id: `e-${id}-3`, type: 'booking.requested', occurred_at: at(1.5), ...order, channel: { id: 'app', kind: 'app' }, account, device, network, slot,
      patient: patientOf(somebody(random), startMs - 300 * DAY_MS), payer: { id: `pay-${id}` },
      session: { id: `ss-${id}`, opened_at: at(0), page_views: 4, captcha_ms: 2_000 + Math.floor(random() * 3_000) },
    },
    { event_id: `e-${id}-4`, type: 'booking.confirmed', occurred_at: at(2), ...order },
    random() < 0.25
      ? { event_id: `e-${id}-5`, type: 'booking.cancelled', occurred_at: at(4), ...order, cancel: { by: 'patient', reason: '' } }
      : { event_id: `e-${id}-5`, type: 'booking.paid', occurred_at: at(3), ...order },
  ]
  return { key: schedule, events }
}

function gangStory(id: string, releaseMs: number, hospital: string, visitMs: number, random: () => number): Story {
  const schedule = `s-${id}`
  const birthDate = `19${60 + Math.floor(random() * 30)}-0${1 + Math.floor(random() * 9)}-1${Math.floor(random() * 10)}`
  const channel = { id: 'wechat', kind: 'mini_program' }
  const network = { ip: address(random), proxy: false, datacenter: false }
  const slot = (n: number) => slotOf(hospital, schedule, releaseMs, visitMs, n)
  const at = (ms: number): string => iso(releaseMs + ms)
  const request = (name: string, ms: number, n: number, hands: { account: string; device: string; person: Person; boundMs: number }): WireEvent => ({
    event_id: `e-${id}-${name}`, type: 'booking.requested', occurred_at: at(ms), order_id: `o-${id}-${name}`, channel, network, slot: slot(n),
    account: { id: hands.account, registered_at: iso(releaseMs - 2 * DAY_MS) }, device: { id: hands.device, model: 'M10', os: 'android 13' },
    patient: patientOf(hands.person, hands.boundMs, 'other'), payer: { id: `pay-${id}` },
    session: { id: `ss-${id}-${name}`, opened_at: at(ms - 1_200), page_views: 1, captcha_ms: 300 },
  })

  const events: WireEvent[] = [{ event_id: `e-${id}-release`, type: 'schedule.released', occurred_at: at(0), channel, slot: slotOf(hospital, schedule, releaseMs, visitMs), count: 20 }]
  for (let n = 0; n < BURST; n++) {
    const person = { ...somebody(random), idNumber: idOf('320506', birthDate, 11 + 2 * n), birthDate, sex: 'M' as const, phone: `1700000${String(1_000 + n)}` }
    events.push(request(`bot${n}`, 300 + 30 * n, n, { account: `a-${id}-${n}`, device: `dv-${id}-${n}`, person, boundMs: releaseMs - 90_000 }))
  }
  for (let n = 0; n < BURST; n++) events.push({ event_id: `e-${id}-ok${n}`, type: 'booking.confirmed', occurred_at: at(20_000 + n), order_id: `o-${id}-bot${n}` })
  for (let n = 0; n < HAND_OFFS; n++) {
    const ms = (1 + n) * MINUTE_MS
    const seller = { account: `a-${id}-seller`, device: `dv-${id}-0`, person: somebody(random), boundMs: releaseMs + ms - 35_000 }
    events.push(
      { event_id: `e-${id}-bound${n}`, type: 'patient.bound', occurred_at: at(ms - 35_000), account: { id: seller.account }, patient: patientOf(seller.person, seller.boundMs, 'other') },
      { event_id: `e-${id}-gone${n}`, type: 'booking.cancelled', occurred_at: at(ms), order_id: `o-${id}-bot${n}`, cancel: { by: 'patient', reason: '' } },
      { event_id: `e-${id}-again${n}`, type: 'schedule.released', occurred_at: at(ms + 150), channel, slot: slot(n), count: 1, re_release: true },
      request(`buyer${n}`, ms + 2_400, n, seller),
    )
  }
  return { key: schedule, events }
}
