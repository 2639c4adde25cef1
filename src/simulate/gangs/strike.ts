import { takes, visitOf, type Doctor, type Order, type Session } from '../hospitals.js'
import { minutesBefore, notBeforeNow } from '../manners.js'
import { bind, boundLongAgo, patientWire, unbindLater, verify, type Binding } from '../patients.js'
import type { Person, Relation } from '../people.js'
import type { Fate, Platform } from '../platform.js'
import type { Reach } from '../reach.js'
import type { Random } from '../random.js'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, type Hand, type Sitting, type Tactic, type Wire } from '../wire.js'
import type { World } from '../world.js'
import type { Gang, Held } from './gang.js'
import type { Play } from './plays.js'

export interface Ground { world: World; platform: Platform; reach: Reach; random: Random }

/** One booking that a gang is about to make. */
export interface Strike {
  gang: Gang
  tactic: Tactic
  play: Play
  day: number
  atMs: number
  doctor: Doctor
  /** The one that is waited for; otherwise what can be had of the doctor, or of another who is as wanted. */
  session?: Session
  /** A certain one, else any that looks free. */
  slot?: number
  held?: Held
  /** The patient, by number; otherwise whom the play says. */
  puppet?: number
  /** Another way in than the play's. */
  hand?: Play['hand']
  fate?: Partial<Fate>
  onConfirmed?: (order: Order) => void
}

const RELATIONS: readonly (readonly [Relation, number])[] = [['self', 40], ['other', 20], ['parent', 13], ['spouse', 9], ['child', 8], ['helper', 10]]

/** A booking by a gang: made ready, and asked for at its time. */
export function strike(ground: Ground, it: Strike): void {
  const armed = arm(ground, it)
  ground.world.at(it.atMs, () => { fire(ground, it, armed) })
}

/** Makes ready before `it.atMs`: hands, patient, binding, checks. What the gang has learned is done as patients do it. */
export function arm(ground: Ground, it: Strike): Armed {
  const { world, random } = ground
  const { gang, play, day, atMs } = it
  const isLearned = random.chance(gang.skill(day))
  const { n, person } = patientOf(ground, it)
  const kind = random.weighted(play.account)
  const held = it.held ?? (kind === 'client' ? gang.clientAccount(n) : gang.account(kind))
  const hand = handOf(ground, it, held, n, isLearned)
  const isOwn = kind === 'client' && it.held === undefined
  const patient = hand.account || random.chance(0.3) ? bound(ground, it, { hand, held, person, n, isOwn }, isLearned) : patientWire(person)
  if (random.chance(play.face) && hand.account) world.at(atMs - random.between(15, 180) * SECOND_MS, () => { verify(world, hand, patient, 'face', random.chance(0.94)) })
  return { hand, patient, isBot: !isLearned && random.chance(play.bot), done: false }
}

/** Whom it is for: buyers go to doctors who would see them. */
function patientOf({ world, random }: Ground, { gang, play, puppet, doctor }: Strike): { n: number; person: Person } {
  if (puppet !== undefined) return { n: puppet, person: world.people.person(puppet) }
  for (let tries = 5; ; tries--) {
    const found = gang.somebody(random.weighted(play.who), random.weighted(play.phone))
    if (tries === 0 || takes(doctor, found.person, world.startMs)) return found
  }
}

export const fire = (ground: Ground, it: Strike, armed: Armed): void => { click(ground, it, armed, ground.random.whole(...it.play.clicks)) }

export interface Armed { hand: Hand; patient: Wire; isBot: boolean; done: boolean }

/** Asks, and asks again at even gaps until a slot is confirmed. */
function click(ground: Ground, it: Strike, armed: Armed, left: number): void {
  const { world, platform, random } = ground
  const session = it.session ?? bookable(ground, it)
  const slot = session && (it.slot ?? platform.lookAt(session, random))
  if (session !== undefined && slot !== undefined && !armed.done) ask(ground, it, armed, session, slot)
  if (left <= 1 || armed.done) return
  const evenMs = armed.isBot ? 380 + it.gang.n * 37 % 300 : 1_500
  world.at(world.now + evenMs * (armed.isBot ? random.between(0.97, 1.03) : random.around(1, 0.5)), () => { click(ground, it, armed, left - 1) })
}

function ask(ground: Ground, it: Strike, armed: Armed, session: Session, slot: number): void {
  const { world, platform, random } = ground
  const { gang, play } = it
  gang.spent++
  const sitting = sittingOf(ground, armed, session)
  platform.request({
    hand: armed.hand, patient: armed.patient, session, slot, tag: { tactic: it.tactic, gang: gang.id }, fate: { ...fateOf(ground, play, session, slot), ...it.fate },
    ...(sitting && { sitting }),
    onConfirmed: (order) => {
      // A clicker goes on until the success page is up, and may hold two slots by then.
      world.at(world.now + (armed.isBot ? 1_100 : 0), () => { armed.done = true })
      if (random.chance(play.unbind) && armed.hand.account) unbindLater(world, armed.hand, armed.patient, random.between(0.02, 4))
      it.onConfirmed?.(order)
    },
  })
}

function bookable({ platform, random, world }: Ground, { gang, doctor }: Strike): Session | undefined {
  const others = Array.from({ length: 6 }, () => random.pick(world.supply.hot))
  for (const wanted of [doctor, ...gang.targets, ...others]) {
    const open = platform.bookable(wanted)
    if (open.length > 0) return random.pick(open)
  }
  return undefined
}

function handOf({ random, reach }: Ground, { gang, play, day, doctor, hand }: Strike, held: Held, client: number, isLearned: boolean): Hand {
  const way = hand ?? play.hand
  if (way === 'seat') return gang.seat(client, doctor)
  const made = way === 'partner' ? gang.partner(client) : reach.online(held.n, random)
  const payer = random.chance(play.payer) ? gang.payer() : made.payer
  const isHidden = !isLearned && random.chance(play.proxy)
  return {
    channel: made.channel, account: way === 'partner' && made.account ? made.account : held.account,
    ...(made.device && { device: play.device === 'own' ? made.device : disguised(gang.device(held, play.device), isLearned, random) }),
    ...(made.network && { network: play.device === 'own' ? made.network : gang.network(held, isHidden, day) }),
    ...(payer !== undefined && { payer }),
  }
}

/** Some farms run emulators or rooted phones, until they learn what gives them away. */
const disguised = (device: NonNullable<Hand['device']>, isLearned: boolean, random: Random): NonNullable<Hand['device']> =>
  isLearned ? device : { ...device, emulator: device.emulator || random.chance(0.04), rooted: device.rooted || random.chance(0.06) }

interface Bound { hand: Hand; held: Held; person: Person; n: number; isOwn: boolean }

/** The patient joins the account minutes or hours before, or has been there for long. */
function bound({ world, random }: Ground, { play, atMs }: Strike, { hand, held, person, n, isOwn }: Bound, isLearned: boolean): Wire {
  const account = hand.account ?? held.account
  const relation = isOwn ? world.people.place(n).relation : random.weighted(RELATIONS)
  const wanted = random.weighted(play.bind)
  const canBeOld = account.registeredAt < world.startMs
  if (hand.account === undefined || (canBeOld && (isOwn || wanted === 'old'))) return patientWire(person, boundLongAgo(world, { ...account, registeredAt: Math.min(account.registeredAt, world.startMs - DAY_MS) }, n, relation))
  const beforeMs = wanted === 'late' && !isLearned ? minutesBefore(world, random, atMs) : notBeforeNow(world, atMs - random.between(0.3, 8) * HOUR_MS, atMs, random)
  const boundAt = Math.max(beforeMs, account.registeredAt + MINUTE_MS)
  const binding: Binding = { relation, boundAt: Math.min(boundAt, atMs - 2_000) }
  const patient = patientWire(person, binding)
  world.at(binding.boundAt, () => { bind(world, hand, patient) })
  return patient
}

/** DOMAIN 5: a real bot took 1.54 s from seeing a slot to submitting it. */
function sittingOf({ world, random, reach }: Ground, { hand, isBot }: Armed, session: Session): Sitting | undefined {
  const hasPage = hand.account !== undefined && (hand.channel.kind === 'app' || hand.channel.kind === 'web' || hand.channel.kind === 'mini_program' || (hand.channel.kind === 'partner' && hand.device !== undefined))
  if (!hasPage) return undefined
  if (isBot) return reach.sat(world.now - random.around(2_000, 0.6), random.whole(0, 2), random.around(950, 0.6), random)
  const isAtRelease = world.now - session.releasedMs < MINUTE_MS
  return reach.sitting(random.weighted(isAtRelease ? [['waiting', 5], ['human', 2], ['quick', 2], ['reflex', 1]] as const : [['human', 8], ['quick', 2]] as const), world.now, random)
}

/** Given back when no buyer was found, within a day or two, or near the deadline. */
function fateOf({ world, random }: Ground, { ends }: Play, session: Session, slot: number): Fate {
  const fate: Fate = { pays: !random.chance(ends.expire), shows: !random.chance(ends.noShow) }
  if (!random.chance(ends.cancel)) return fate
  const leadMs = visitOf(session, slot) - world.now
  const afterMs = random.chance(0.35) ? leadMs - random.between(9, 26) * HOUR_MS : random.around(14 * HOUR_MS, 1.2)
  return { ...fate, cancelAt: world.now + Math.max(20 * SECOND_MS, Math.min(afterMs, leadMs - HOUR_MS)) }
}
