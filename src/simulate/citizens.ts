import { takes, visitOf, type Doctor, type Order, type Session } from './hospitals.js'
import { kin, LEAD_MS, makeWish, type Want, type Wish } from './manners.js'
import type { Attempt, Fate, Platform } from './platform.js'
import type { Reach } from './reach.js'
import { hash, KIND, must, type Random, Wheel } from './random.js'
import { Watching } from './watching.js'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, type Group } from './wire.js'
import type { World } from './world.js'

/** Somebody in need of a doctor, for one booking or several in the weeks to come. */
export interface Need {
  n: number
  group: Group
  /** Bookings still to come after this one. */
  left: number
  /** To come back to. */
  doctor?: Doctor
}

/** When a need turns into a request. `session`: waited for since before its release. */
interface Moment { atMs: number; session?: Session }

/** Of the needs, by share; the chronic come of the number of bookings, the release crowd of the moment. */
const GROUP_WEIGHTS: readonly (readonly [Group, number])[] = [
  ['plain', 45], ['far_child', 4], ['child_without_id', 3], ['village_clinic', 3], ['call_centre', 8], ['kiosk', 4], ['nat', 8], ['hospital_wifi', 3],
  ['autofill', 4], ['newcomer', 7], ['bound_just_before', 4.5], ['favourite', 5], ['shared_payer', 4], ['companion', 1.5], ['shared_block', 2.5],
  ['vpn_rooted_virtual', 2.5], ['waitlist', 4], ['return_watcher', 6], ['family_rebook', 2],
]
/** DOMAIN 5: bookings of a patient within 40 days. */
const BOOKINGS: readonly (readonly [number, number])[] = [[1, 68.6], [2, 19.5], [3, 6.6], [4, 2.9], [5, 1.2], [6, 0.4], [8, 0.35], [12, 0.25], [18, 0.17], [30, 0.13]]
/** Mondays are the fullest; the city's first day may be any. */
const WEEKDAYS = [0.86, 1.19, 1.1, 1.05, 1, 0.95, 0.85]
/** DOMAIN 5: 48.4 % in the release hour, 33 % in its first five minutes. Some who come for a release end up elsewhere: hence a fifth more. */
const IN_RELEASE_HOUR = 0.47, IN_FIRST_MINUTES = 0.33
/** By hour, from midnight. */
const HOURS = new Wheel([2, 1, 1, 1, 1, 3, 8, 14, 17, 16, 14, 12, 12, 12, 13, 13, 11, 10, 9, 10, 11, 10, 8, 4])
const TRIES = 5

/** The people of the city who need a doctor. */
export class Citizens {
  private readonly random: Random
  private readonly due = new Map<number, Need[]>()
  private readonly doctors: Wheel
  private readonly watching: Watching
  private wishes = 0
  private episodes = 0

  constructor(private readonly world: World, private readonly platform: Platform, private readonly reach: Reach) {
    this.random = world.random(KIND.citizens)
    this.doctors = new Wheel(world.supply.doctors.map(({ demand }) => demand))
    this.watching = new Watching(world, platform, this.random)
  }

  /** As many wishes as make the day's share of requests; one wish makes more than one request when slots are gone. */
  planDay(day: number): void {
    const { world } = this
    const weekday = new Date(world.startMs + (day + 1 / 2) * DAY_MS).getUTCDay()
    const perWish = this.wishes === 0 ? 1 : Math.min(1.6, Math.max(0.6, world.requests.legit / this.wishes))
    const count = Math.round(world.perDay * (1 - world.scalpers) * must(WEEKDAYS[weekday]) / perWish)
    const due = this.due.get(day) ?? []
    this.due.delete(day)
    const needs = [...due, ...Array.from({ length: Math.max(0, count - due.length) }, () => this.newNeed())]
    this.wishes += needs.length
    for (const need of needs) this.plan(need, day)
    this.strollers(day)
  }

  /** The wish of a person at a moment; for gangs too, whose bought accounts have a past. */
  plan(need: Need, day: number): void {
    const moment = this.moment(need, day)
    this.world.at(moment.atMs - LEAD_MS, () => { this.begin(need, moment) })
  }

  private newNeed(): Need {
    const n = hash(this.world.seed, KIND.episode, ++this.episodes) % this.world.people.size
    const bookings = this.random.weighted(BOOKINGS)
    const group = this.random.weighted(GROUP_WEIGHTS)
    if (bookings >= 6) return { n, group: 'chronic', left: bookings - 1 + this.random.below(3) }
    // A family cancels for one member and books for another: it has to be one.
    return group === 'family_rebook' ? { n: kin(n) - 1, group, left: 0 } : { n, group, left: bookings - 1 }
  }

  /** People with a favourite and people on autofill come for the release more than others. */
  private moment({ group, doctor }: Need, day: number): Moment {
    const { random } = this
    const isEager = group === 'favourite' || group === 'autofill'
    const session = doctor === undefined || random.chance(0.3) ? this.platform.wanted(random) : undefined
    const share = group === 'kiosk' ? 0.15 : group === 'waitlist' || group === 'return_watcher' ? 0.1 : isEager ? 0.75 : IN_RELEASE_HOUR
    if (session !== undefined && random.chance(share * 1.2)) return { session, atMs: session.releasedMs + this.afterRelease(group) }
    const hour = HOURS.spin(random)
    return { atMs: this.world.startMs + day * DAY_MS + hour * HOUR_MS + random.below(HOUR_MS) }
  }

  /** Two thirds of the hour come in its first five minutes, a third of those in the first five seconds. */
  private afterRelease(group: Group): number {
    const { random } = this
    if ((group === 'favourite' || group === 'autofill') && random.chance(0.5)) return random.around(1_500, 0.7)
    // Windows and call centres keep a few for people who come back, and book them before the public can.
    if ((group === 'call_centre' || group === 'plain') && random.chance(0.012)) return -random.between(1, 900) * SECOND_MS
    if (random.chance(IN_FIRST_MINUTES / IN_RELEASE_HOUR)) return 350 + 5 * MINUTE_MS * random.next() ** 3.4
    return random.between(5, 60) * MINUTE_MS
  }

  private begin(need: Need, { atMs, session }: Moment): void {
    const { world, random } = this
    const doctor = need.doctor ?? session?.doctor ?? this.someDoctor()
    const want: Want = { group: need.group, n: need.n, random, atMs, hospital: doctor.hospital }
    const made = makeWish({ world, reach: this.reach }, want)
    for (const { at, act } of made.prologue) world.at(at, act)
    const sinceRelease = session === undefined ? Infinity : atMs - session.releasedMs
    const isEarlyByDesk = sinceRelease < 0 && !['phone', 'window', 'partner'].includes(made.hand.channel.kind)
    const when = isEarlyByDesk && session ? session.releasedMs + this.afterRelease('kiosk') : atMs
    const isCrowd = sinceRelease < MINUTE_MS && (made.group === 'plain' || made.group === 'family')
    const ready: Wish = isCrowd && sinceRelease > 0 ? { ...made, group: 'release_crowd', pace: random.chance(0.7) ? 'waiting' : made.pace } : made
    this.looks(ready, doctor, when)
    world.at(when, () => { this.ask({ wish: ready, need, doctor, ...(session && this.fits(session.doctor, ready) && { session }), tries: TRIES }) })
  }

  /** A look or two before the request, by hand. */
  private looks({ hand, pace }: Wish, doctor: Doctor, atMs: number): void {
    if (hand.account === undefined || pace === 'reflex' || !this.random.chance(0.3)) return
    const count = this.random.whole(1, 3)
    for (let i = 0; i < count; i++) {
      const before = this.random.around(20 * SECOND_MS, 0.7)
      this.world.at(atMs - before, () => {
        const session = this.platform.bookable(doctor)[0]
        if (session) this.platform.query(hand, session)
      })
    }
  }

  /** People who only look. */
  private strollers(day: number): void {
    const count = Math.round(this.world.perDay * 0.1)
    for (let i = 0; i < count; i++) {
      const n = this.world.people.anyone(this.random)
      const atMs = this.world.startMs + day * DAY_MS + HOURS.spin(this.random) * HOUR_MS + this.random.below(HOUR_MS)
      this.world.at(atMs, () => {
        const session = this.platform.bookable(this.someDoctor())[0]
        if (session) this.platform.query(this.reach.online(n, this.random), session)
      })
    }
  }

  /** Asks for a slot, and for another when it is gone; who finds none waits for one, or goes without. */
  private ask(asked: Asked): void {
    const { wish, need, doctor } = asked
    if (need.group === 'waitlist' || need.group === 'return_watcher') {
      this.watching.wait(need.group, wish, doctor, (session, slot, sitting) => { this.request({ ...asked, session }, session, slot, sitting) })
      return
    }
    const session = this.sessionFor(asked)
    const slot = session && this.platform.lookAt(session, this.random)
    if (session !== undefined && slot !== undefined) this.request(asked, session, slot)
    else if (asked.tries > 1) this.ask(asked.session ? without(asked) : { ...asked, doctor: this.another(doctor, wish), tries: asked.tries - 1 })
  }

  private request(asked: Asked, session: Session, slot: number, opened?: Attempt['sitting']): void {
    const { wish } = asked
    const { world, random } = this
    const hasPage = wish.hand.account !== undefined && wish.hand.channel.kind !== 'phone' && wish.hand.channel.kind !== 'window' && !(wish.hand.channel.kind === 'partner' && wish.hand.device === undefined)
    const sitting = opened ?? (hasPage ? this.reach.sitting(wish.pace, world.now, random) : undefined)
    this.platform.request({
      hand: wish.hand, patient: wish.patient, session, slot, tag: { group: wish.group }, fate: this.fate(asked, session, slot), ...(sitting && { sitting }),
      onConfirmed: (order) => { this.confirmed(asked, session, order) },
      onRefused: () => { if (asked.tries > 1) this.ask({ ...asked, wish: { ...wish, pace: wish.pace === 'waiting' ? 'human' : wish.pace }, tries: asked.tries - 1 }) },
      onStopped: () => { if (random.chance(0.5)) this.rebookStopped(asked, session.doctor) },
    })
  }

  private confirmed({ wish, need }: Asked, session: Session, order: Order): void {
    wish.epilogue?.()
    if (need.group === 'family_rebook') this.rebookForKin(need, wish, order)
    if (need.left <= 0) return
    const gap = Math.ceil(1 + this.random.exponential(Math.min(8, 30 / (need.left + 1))))
    const day = Math.floor((this.world.now - this.world.startMs) / DAY_MS) + gap
    if (day >= this.world.days) return
    const isBack = need.group === 'chronic' ? this.random.chance(0.85) : this.random.chance(0.45)
    const next: Need = { n: need.n, group: need.group, left: need.left - 1, ...(isBack && { doctor: session.doctor }) }
    this.due.set(day, [...this.due.get(day) ?? [], next])
  }

  /** DOMAIN 5: a quarter is returned; much of that soon, or the afternoon before. */
  private fate({ wish }: Asked, session: Session, slot: number): Fate {
    const { random, world } = this
    const visitMs = visitOf(session, slot), lead = visitMs - world.now
    const fate: Fate = { pays: random.chance(0.965), shows: random.chance(wish.attends ?? 1 - session.doctor.hospital.noShows) }
    if (!random.chance(wish.cancels ?? 0.3)) return fate
    const dice = random.next()
    const after = dice < 0.3 ? random.around(25 * MINUTE_MS, 1.3) : dice < 0.75 ? lead * random.next() ** 1.3 : lead - random.between(10, 20) * HOUR_MS
    return { ...fate, cancelAt: world.now + Math.max(2_000, Math.min(after, lead - HOUR_MS)), cancelBy: random.chance(0.1) ? 'window' : 'patient' }
  }

  private rebookStopped(asked: Asked, doctor: Doctor): void {
    const after = this.random.around(20 * MINUTE_MS, 1)
    this.world.at(this.world.now + after, () => { this.ask({ ...without(asked), doctor, wish: { ...asked.wish, group: 'stopped_session' }, tries: TRIES }) })
  }

  /** The slot of one member, given back and taken for another of the same account, by hand. */
  private rebookForKin(need: Need, wish: Wish, order: Order): void {
    const { world, random } = this
    const day = { ...need, n: kin(need.n), left: 0, group: 'family' as const }
    world.at(world.now + random.around(3 * HOUR_MS, 1.2), () => {
      const want: Want = { group: 'family_rebook', n: day.n, random, atMs: world.now + MINUTE_MS, hospital: order.session.doctor.hospital }
      const made = { ...makeWish({ world, reach: this.reach }, want), hand: wish.hand }
      this.platform.cancel(order, 'patient', () => {
        world.at(world.now + Math.max(3_000, random.around(14_000, 0.7)), () => { this.request({ wish: made, need: day, doctor: order.session.doctor, session: order.session, tries: 2 }, order.session, order.slot) })
      })
    })
  }

  private sessionFor({ session, doctor, wish }: Asked): Session | undefined {
    if (session) return session
    if (!this.fits(doctor, wish)) return undefined
    const open = this.platform.bookable(doctor)
    return open.length === 0 ? undefined : must(open[Math.floor(open.length * this.random.next() ** 1.6)])
  }

  /** Of the same hospital mostly. */
  private another(doctor: Doctor, wish: Wish): Doctor {
    for (let i = 0; i < TRIES; i++) {
      const other = this.random.chance(0.6) ? this.random.pick(this.world.supply.colleagues(doctor)) : this.someDoctor()
      if (this.fits(other, wish)) return other
    }
    return doctor
  }

  private fits(doctor: Doctor, { person }: Wish): boolean { return takes(doctor, person, this.world.startMs) }
  private someDoctor(): Doctor { return must(this.world.supply.doctors[this.doctors.spin(this.random)]) }
}

/** A wish that is being carried out. `session`: one that was waited for. */
interface Asked { wish: Wish; need: Need; doctor: Doctor; session?: Session; tries: number }

/** The session that was waited for is gone: any other will do. */
const without = ({ wish, need, doctor, tries }: Asked): Asked => ({ wish, need, doctor, tries })
