import { expect } from 'vitest'
import { createMemoryJournal } from '../../src/adapters/memory/journal.js'
import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import { readRuleFiles } from '../../src/adapters/file/rule-files.js'
import { OUTCOMES, type Outcome, type Review } from '../../src/domain/decision.js'
import { createEngine } from '../../src/pipeline/process-event.js'
import { createRecorder } from '../../src/pipeline/recorder.js'
import { buildRulebook } from '../../src/pipeline/rulebook.js'
import { layoutOf } from '../../src/scoring/plan.js'
import type { Rulebook } from '../../src/scoring/score.js'
import { createTokeniser } from '../../src/scoring/tokenise.js'
import { seeded, somebody, type Person } from '../support/people.js'

/**
 * A small language for made-up mornings. Times are seconds after the release of the morning's schedules. Whoever books
 * is an ordinary patient with everything of their own unless the scenario says otherwise; `null` means "not said".
 */
export interface Morning {
  readonly release: string
  readonly hospital: string
  readonly people: () => Person
  readonly random: () => number
  readonly book: (booking: Booking) => void
  readonly confirm: (order: string, atS: number) => void
  readonly attend: (order: string, atS: number) => void
  readonly cancel: (order: string, atS: number, by?: 'patient' | 'window' | 'hospital' | 'platform', channel?: ChannelName) => void
  /** The slot of an order comes back to the pool. */
  readonly giveBack: (order: string, atS: number) => void
  readonly bind: (account: string, person: Person, atS: number, device?: string) => void
  readonly unbind: (account: string, person: Person, atS: number) => void
  readonly look: (account: string, atS: number) => void
  readonly stop: (doctor: string, atS: number) => void
  readonly verify: (account: string, person: Person, device: string, atS: number) => void
  /** All events in the order in which they happened. */
  readonly events: () => Record<string, unknown>[]
}

export type ChannelName = 'app' | 'web' | 'mini_program' | 'phone' | 'kiosk' | 'window' | 'partner'
const DOOR_ONLY: readonly ChannelName[] = ['phone', 'kiosk', 'window']

export interface Session { openS: number; pages: number; captchaMs: number }

export interface Booking {
  order: string
  atS: number
  person: Person
  channel?: ChannelName
  account?: string | null
  accountAgeH?: number | null
  /** How long before the booking the patient was bound. */
  boundS?: number | null
  relation?: string | null
  device?: string | null
  emulator?: boolean
  rooted?: boolean
  payer?: string | null
  ip?: string | null
  proxy?: boolean
  session?: Session | null
  seat?: string
  doctor?: string
  clinic?: 'ordinary' | 'expert' | 'special'
  hospital?: string
  /** The order whose slot this is; one of its own unless told. */
  slotOf?: string
  /** When the slot was released first, in the morning's seconds. */
  releasedS?: number
  /** Details as the caller sends them; the person's own unless told. */
  idType?: string
  idNumber?: string
  phone?: string
  name?: string
}

/** A person at their own pace: a minute, some pages, a captcha read by eye. */
export const byHand: Session = { openS: 55, pages: 4, captchaMs: 2_300 }
/** A favourite doctor and a filled-in form. */
export const autofill: Session = { openS: 2.6, pages: 1, captchaMs: 1_150 }
export const machine: Session = { openS: 1.1, pages: 0, captchaMs: 260 }

export const DAY_S = 86_400
const YEAR_S = 365 * DAY_S
const VISIT_AFTER_S = 7 * DAY_S

export function createMorning({ seed = 1, release = '2026-11-20T07:00:00.000+08:00', hospital = 'h-041' } = {}): Morning {
  const random = seeded(seed)
  const events: { atS: number; body: Record<string, unknown> }[] = []
  const slots = new Map<string, Record<string, unknown>>()
  const releaseMs = Date.parse(release)
  const time = (s: number): string => new Date(Math.round(releaseMs + s * 1_000)).toISOString()
  const say = (atS: number, type: string, body: Record<string, unknown>): void => {
    events.push({ atS, body: { event_id: `e-${seed}-${events.length + 1}`, type, occurred_at: time(atS), ...body } })
  }
  const lifecycle = (type: string) => (order: string, atS: number): void => { say(atS, type, { order_id: order }) }
  const identity = (person: Person): Record<string, unknown> => ({ id_type: '01', id_number: person.idNumber, name: person.name, phone: person.phone })

  function book(b: Booking): void {
    const { order, atS, person, channel = 'app', doctor = 'd-1', clinic = 'expert', session = byHand, relation = 'self' } = b
    const onPremises = DOOR_ONLY.includes(channel)
    const account = b.account === undefined && !onPremises ? `a-${order}` : b.account ?? null
    const device = b.device === undefined && channel !== 'phone' && channel !== 'window' ? `dv-${order}` : b.device ?? null
    const payer = b.payer === undefined ? `p-${order}` : b.payer
    const ip = b.ip === undefined && !onPremises ? `10.${Math.floor(random() * 250)}.${Math.floor(random() * 250)}.7` : b.ip ?? null
    const [ageH, boundS] = [b.accountAgeH === undefined ? 700 * 24 : b.accountAgeH, b.boundS === undefined ? 2 * YEAR_S : b.boundS]
    const slot = slots.get(b.slotOf ?? '') ?? {
      hospital_id: b.hospital ?? hospital, department_id: `dep-${doctor}`, doctor_id: doctor, clinic, schedule_id: `s-${doctor}`, slot_id: `s-${doctor}-${order}`,
      visit_at: time(VISIT_AFTER_S + 7_200), released_at: time(b.releasedS ?? 0), fee_fen: 5_000,
    }
    slots.set(order, slot)
    say(atS, 'booking.requested', {
      order_id: order, channel: { id: `ch-${channel}`, kind: channel }, slot,
      patient: {
        ...identity(person), id_type: b.idType ?? '01', id_number: b.idNumber ?? person.idNumber, phone: b.phone ?? person.phone, name: b.name ?? person.name, sex: person.sex, birth_date: person.birthDate,
        ...(relation === null ? {} : { relation }), ...(boundS === null || account === null ? {} : { bound_at: time(atS - boundS) }),
      },
      ...(account === null ? {} : { account: { id: account, ...(ageH === null ? {} : { registered_at: time(atS - ageH * 3_600) }) } }),
      ...(device === null ? {} : { device: { id: device, emulator: b.emulator ?? false, rooted: b.rooted ?? false } }),
      ...(ip === null ? {} : { network: { ip, proxy: b.proxy ?? false, datacenter: false } }),
      ...(session === null || onPremises ? {} : { session: { id: `ss-${order}`, opened_at: time(atS - session.openS), page_views: session.pages, captcha_ms: session.captchaMs } }),
      ...(payer === null ? {} : { payer: { id: payer } }),
      ...(b.seat === undefined ? {} : { operator: { id: `op-${b.seat}`, seat: b.seat } }),
    })
  }

  return {
    release, hospital, random, people: () => somebody(random), book,
    confirm: lifecycle('booking.confirmed'), attend: lifecycle('booking.attended'),
    cancel: (order, atS, by = 'patient', channel) => {
      say(atS, 'booking.cancelled', { order_id: order, cancel: { by }, ...(channel ? { channel: { id: `ch-${channel}`, kind: channel } } : {}) })
    },
    giveBack: (order, atS) => { say(atS, 'schedule.released', { slot: slots.get(order), count: 1, re_release: true }) },
    bind: (account, person, atS, device) => {
      say(atS, 'patient.bound', { account: { id: account }, patient: { ...identity(person), bound_at: time(atS) }, ...(device === undefined ? {} : { device: { id: device } }) })
    },
    unbind: (account, person, atS) => { say(atS, 'patient.unbound', { account: { id: account }, patient: identity(person) }) },
    look: (account, atS) => { say(atS, 'slot.queried', { account: { id: account }, slot: { hospital_id: hospital, schedule_id: 's-d-1' } }) },
    stop: (doctor, atS) => { say(atS, 'schedule.stopped', { slot: { hospital_id: hospital, schedule_id: `s-${doctor}`, doctor_id: doctor } }) },
    verify: (account, person, device, atS) => {
      say(atS, 'verification.passed', { account: { id: account }, patient: identity(person), device: { id: device }, verification: { kind: 'face' } })
    },
    events: () => events.slice().sort((a, b) => a.atS - b.atS).map(({ body }) => body),
  }
}

/** One booking's decision: what the caller got, and which families of evidence spoke. */
export interface Seen { order: string; outcome: Outcome; codes: string[]; families: string[]; rules: string[]; points: number }

/** Orders whose name begins with `prefix`, as last decided, in the order in which they were asked. */
export type Decisions = (prefix: string) => Seen[]

const rulebooks = new Map<string | undefined, Rulebook>()

async function rulesWithout(pack: string | undefined): Promise<Rulebook> {
  const known = rulebooks.get(pack)
  if (known) return known
  const files = await readRuleFiles('rules')
  const packs = files.packs.filter(({ file }) => pack === undefined || !file.endsWith(`/${pack}.yaml`))
  if (pack !== undefined && packs.length === files.packs.length) throw new Error(`there is no pack '${pack}'`)
  const { rulebook, problems } = buildRulebook({ ...files, packs }, [])
  if (!rulebook) throw new Error(JSON.stringify(problems))
  rulebooks.set(pack, rulebook)
  return rulebook
}

/** Runs a morning through the engine and the shipped rules, as `zhenhao replay` does; `without` leaves a pack out. */
export async function decideAll(morning: Morning, without?: string): Promise<Decisions> {
  const rulebook = await rulesWithout(without)
  const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  const reviews = new Map<string, Review>()
  const memory = createMemoryJournal()
  const journal = { ...memory, append: (entry: Parameters<typeof memory.append>[0]) => {
    if (entry.review) reviews.set(entry.event.eventId, entry.review)
    return memory.append(entry)
  } }
  const engine = createEngine({
    tokeniser: await createTokeniser(new Uint8Array(32)), timeZone: 'Asia/Shanghai', velocity: () => velocity, recorder: createRecorder(journal),
    rulebook: () => rulebook, decidedAt: (event) => event.occurredAt,
  })
  const seen = new Map<string, Seen>()
  for (const event of morning.events()) {
    const done = await engine.process({ body: { json: event } })
    if (done.kind === 'rejected') throw new Error(`the scenario's event is not valid: ${JSON.stringify(done.errors)}`)
    if (done.kind !== 'decided') continue
    const { outcome, reasons, order_id: order } = done.decision
    const review = reviews.get(done.eventId)
    const hits = review?.rule_hits ?? []
    seen.set(order, {
      order, outcome, codes: reasons.map((r) => r.code), families: [...new Set(hits.map((h) => h.family))],
      rules: hits.map((h) => h.rule), points: review?.rule_score ?? 0,
    })
  }
  return (prefix) => [...seen.values()].filter(({ order }) => order.startsWith(prefix))
}

const isIntercepted = ({ outcome }: Seen): boolean => outcome === 'throttle' || outcome === 'hold' || outcome === 'deny'
export const intercepted = (decisions: readonly Seen[]): number => decisions.filter(isIntercepted).length

/** `allow 18, challenge 2`: for messages and reports. */
export const mixOf = (decisions: readonly Seen[]): string =>
  OUTCOMES.map((o) => [o, decisions.filter((d) => d.outcome === o).length] as const).filter(([, n]) => n > 0).map(([o, n]) => `${o} ${n}`).join(', ')

/** The mix, and why the first of those above `allow` were: for messages of failed tests. */
const describe = (decisions: readonly Seen[]): string =>
  `${mixOf(decisions)}; ${decisions.filter((d) => d.outcome !== 'allow').slice(0, 4).map((d) => `${d.order} ${d.points}: ${d.rules.join(' ')}`).join('; ')}`

/**
 * A gang, by the prefix of its orders, is intercepted once its first `after` requests are through: at least `share` of
 * the rest, nearly all with the reason that names the tactic, and fewer when the pack that sees it is taken away.
 */
export interface Catch { gang: string; after: number; share?: number; pack: string; code: string }

export async function expectCaught(morning: Morning, { gang, after, share = 0.9, pack, code }: Catch): Promise<void> {
  const rest = (await decideAll(morning))(gang).slice(after)
  expect(rest.length, 'requests of the gang').toBeGreaterThan(0)
  expect(intercepted(rest) / rest.length, describe(rest)).toBeGreaterThanOrEqual(share)
  const named = rest.filter((d) => isIntercepted(d) && d.codes.includes(code))
  expect(named.length, `${code} is named: ${describe(rest)}`).toBeGreaterThanOrEqual(intercepted(rest) * 0.9)
  const without = (await decideAll(morning, pack))(gang).slice(after)
  expect(intercepted(without), `without ${pack}: ${describe(without)}`).toBeLessThan(intercepted(rest))
}

/** Innocents are never throttled, held or denied; `challenged` is the share that may be asked for a check. */
export async function expectSpared(morning: Morning, group: string, challenged = 0): Promise<void> {
  const decisions = (await decideAll(morning))(group)
  expect(decisions.length, 'bookings of the group').toBeGreaterThan(0)
  expect(intercepted(decisions), describe(decisions)).toBe(0)
  expect(decisions.filter((d) => d.outcome === 'challenge').length / decisions.length, describe(decisions)).toBeLessThanOrEqual(challenged)
}
