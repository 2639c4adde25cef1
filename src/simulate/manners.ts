import type { Hospital } from './hospitals.js'
import { accountMembers, bind, boundLongAgo, patientWire, register, unbindLater, verify, type Binding } from './patients.js'
import { HOUSEHOLD, type Person, type Relation } from './people.js'
import { OTHERS, type Pace, type Reach } from './reach.js'
import { hash, KIND, must, share, type Random } from './random.js'
import { HOUR_MS, MINUTE_MS, type Group, type Hand, type Wire } from './wire.js'
import type { World } from './world.js'

/** One person's way to a doctor, ready but for the slot. */
export interface Wish {
  group: Group
  person: Person
  hand: Hand
  patient: Wire
  pace: Pace
  /** Bound minutes ago, or long known: what has to be written before the request. */
  prologue: { at: number; act: () => void }[]
  /** Of the confirmed orders: those that are attended, if they are kept, and how many are given back. */
  attends?: number
  cancels?: number
  /** After it was booked: such as to unbind the patient. */
  epilogue?: () => void
}

/** Who wants something, how often, and as what. */
export interface Want {
  group: Group
  /** A person's number; for groups around one helper, the helper's place. */
  n: number
  random: Random
  /** When the request will be. */
  atMs: number
  hospital: Hospital
}

type Manner = (city: { world: World; reach: Reach }, want: Want) => Wish

/** Whose account is used for person `n`, by whatever hand, with a binding of old. */
function wish({ world, reach }: { world: World; reach: Reach }, want: Want, hand?: Hand): Wish {
  const { n, random, group } = want
  const { relation, holder } = world.people.place(n)
  const by = hand ?? reach.online(holder, random)
  const person = world.people.person(n)
  const isKnown = by.account !== undefined || random.chance(0.3)
  const patient = patientWire(person, isKnown ? boundLongAgo(world, by.account ?? reach.account(holder), n, relation) : undefined)
  return { group, person, hand: by, patient, pace: 'human', prologue: [] }
}

/** Somebody booked for through another's account. */
function through(want: Want, person: Person, hand: Hand, binding: Binding): Wish {
  return { group: want.group, person, hand, patient: patientWire(person, binding), pace: 'human', prologue: [] }
}

const boundBefore = (city: { world: World }, relation: Relation, made: Wish, boundAt: number): Wish => {
  const patient = patientWire(made.person, { relation, boundAt })
  return { ...made, patient, prologue: [...made.prologue, { at: boundAt, act: () => { bind(city.world, made.hand, patient) } }] }
}

/** What should have been before now (the day's plan is made at its beginning) happens between now and `atMs`. */
export function notBeforeNow(world: World, wantedMs: number, atMs: number, random: Random): number {
  return wantedMs > world.now ? wantedMs : world.now + (atMs - world.now) * random.between(0.05, 0.9)
}

/** Bound for this booking: minutes ago mostly, hours sometimes. */
export const minutesBefore = (world: World, random: Random, atMs: number): number =>
  notBeforeNow(world, atMs - Math.max(15_000, random.around(6 * MINUTE_MS, 1.3)), atMs, random)
const toAnother = (random: Random): Relation => random.weighted([['other', 34], ['parent', 26], ['spouse', 14], ['child', 12], ['helper', 14]] as const)

const plain: Manner = (city, want) => {
  const { random, hospital, n } = want
  const { holder } = city.world.people.place(n)
  const dice = random.next()
  if (dice < 0.07) return wish(city, want, city.reach.byPartner(holder, random))
  if (dice < 0.15) return wish(city, want, city.reach.byWindow(holder, hospital, random))
  const made = wish(city, want)
  return holder === n ? made : { ...made, group: want.group === 'plain' ? 'family' : want.group }
}

/** Within minutes for most, within a day for others: registers, binds, books. */
const newcomer: Manner = (city, want) => {
  const { random, n, atMs } = want
  const hand = city.reach.online(n, random)
  const registeredAt = atMs - (random.chance(0.6) ? random.around(8 * MINUTE_MS, 0.7) : random.between(0.5, LEAD_MS / HOUR_MS) * HOUR_MS)
  const account = { id: city.reach.account(n).id, registeredAt: notBeforeNow(city.world, registeredAt, atMs, random) }
  const by = { ...hand, account }
  const boundAt = Math.min(atMs - 5_000, account.registeredAt + random.around(90_000, 0.7))
  const relation = random.weighted([['self', 74], ['parent', 12], ['child', 8], ['spouse', 3], ['other', 3]] as const)
  const made = boundBefore(city, relation, { ...wish(city, want, by), hand: by }, boundAt)
  return { ...made, prologue: [{ at: account.registeredAt, act: () => { register(city.world, by) } }, ...made.prologue] }
}

/** A friend's or relative's account, the patient bound just before; some unbind again later. */
const boundJustBefore: Manner = (city, want) => {
  const { random, n, atMs } = want
  const hand = city.reach.online(city.world.people.anyone(random), random)
  const made = boundBefore(city, toAnother(random), through(want, city.world.people.person(n), hand, { relation: 'other', boundAt: 0 }), minutesBefore(city.world, random, atMs))
  if (!random.chance(0.25)) return made
  const days = random.between(0.02, 4)
  return { ...made, epilogue: () => { unbindLater(city.world, hand, made.patient, days) } }
}

/** Lives and pays elsewhere, on an address there; the parent's phone or the child's. */
const farChild: Manner = (city, want) => {
  const { random, n } = want
  const holder = hash(city.world.seed, KIND.cluster, n, 3) % city.world.people.size
  const hand = city.reach.online(holder, random)
  const parent = city.world.people.person(n)
  const person = random.chance(0.5) ? { ...parent, phone: city.world.people.phone(holder) } : parent
  return through(want, person, hand, boundLongAgo(city.world, city.reach.account(holder), n, 'parent'))
}

const childWithoutId: Manner = (city, want) => {
  const { random, n } = want
  const guardian = city.world.people.person(n)
  const hand = city.reach.online(n, random)
  const relation = random.chance(0.75) ? 'child' : 'guardian'
  return through(want, city.world.people.childOf(n, guardian), hand, boundLongAgo(city.world, city.reach.account(n), n + 1, relation))
}

/** A community doctor's one device, for dozens of elders; some have accounts of their own. */
const villageClinic: Manner = (city, want) => {
  const { world, reach } = city
  const { random, n, atMs } = want
  const clinics = Math.max(2, Math.round(world.perDay / 90)), clinic = n % clinics
  const doctor = OTHERS + 2 ** 20 + clinic
  const elder = hash(world.seed, KIND.cluster, clinic, hash(n) % 55) % world.people.size
  const hand: Hand = { ...reach.online(doctor, random), device: reach.device(2 * doctor), network: { ip: reach.address(hash(clinic), hash(clinic, 1)), proxy: false, datacenter: false } }
  if (share(elder, clinic, 1) < 0.3) return through(want, world.people.person(elder), { ...hand, account: reach.account(elder) }, boundLongAgo(world, reach.account(elder), elder, 'self'))
  const relation = share(elder, clinic) < 0.7 ? 'helper' : 'other'
  const made = { ...through(want, world.people.person(elder), hand, boundLongAgo(world, reach.account(doctor), elder, relation)), pace: random.chance(0.3) ? 'quick' as const : 'human' as const }
  if (random.chance(0.25)) made.prologue.push({ at: atMs - 60_000, act: () => { verify(world, hand, made.patient, 'face', true) } })
  return random.chance(0.12) ? boundBefore(city, relation, made, minutesBefore(city.world, random, atMs)) : made
}

/** A paid companion: strangers, bound for the day, who attend. */
const companion: Manner = (city, want) => {
  const { world, reach } = city
  const { random, n, atMs } = want
  const holder = OTHERS + 2 ** 21 + n % Math.max(2, Math.round(world.perDay / 200))
  const hand = reach.online(holder, random)
  const client = world.people.person(world.people.anyone(random))
  const made = boundBefore(city, random.chance(0.6) ? 'helper' : 'other', through(want, client, hand, { relation: 'helper', boundAt: 0 }), notBeforeNow(world, atMs - random.around(30 * MINUTE_MS, 1.6), atMs, random))
  const days = random.between(3, 20)
  const pace = random.weighted([['human', 6], ['quick', 3], ['reflex', 1]] as const)
  if (random.chance(0.2)) made.prologue.push({ at: atMs - 40_000, act: () => { verify(world, hand, made.patient, 'face', true) } })
  return { ...made, pace, attends: 0.96, cancels: 0.08, ...(random.chance(0.6) && { epilogue: () => { unbindLater(world, hand, made.patient, days) } }) }
}

/** An employer, an insurer or the eldest of a clan pays for people who have accounts of their own. */
const sharedPayer: Manner = (city, want) => {
  const { world, reach } = city
  const { n } = want
  const kind = hash(n) % 3, payers = Math.max(2, Math.round(world.perDay / must([150, 400, 60][kind])))
  const payer = n % payers
  const people = must([400, 1_500, 14][kind])
  const someone = hash(world.seed, KIND.cluster, kind, payer, 1 + hash(n, 2) % people) % world.people.size
  const made = plain(city, { ...want, n: someone })
  return { ...made, group: 'shared_payer', hand: { ...made.hand, payer: reach.payer(OTHERS + kind * 2 ** 16 + payer) } }
}

/** A dormitory, a barracks, a company: one network and one block of numbers. */
const sharedBlock: Manner = (city, want) => {
  const { world, reach } = city
  const place = want.n % Math.max(2, Math.round(world.perDay / 250))
  const made = wish(city, want)
  const phone = world.people.block(hash(world.seed, KIND.cluster, place, 9)) + String(hash(want.n, 5) % 10_000).padStart(4, '0')
  const network = { ip: reach.address(hash(world.seed, KIND.cluster, place), hash(want.n)), proxy: false, datacenter: false }
  return { ...made, patient: { ...made.patient, phone }, hand: { ...made.hand, network } }
}

/** A VPN left on, a rooted phone, an emulator on a computer, a cheap number of a virtual operator. */
const oddDevice: Manner = (city, want) => {
  const { random, n } = want
  const made = wish(city, want), { hand } = made
  const kind = random.below(10)
  if (kind < 4) return { ...made, hand: { ...hand, ...(hand.network && { network: { ...hand.network, proxy: true, datacenter: random.chance(0.4) } }) } }
  if (kind < 8) return { ...made, hand: { ...hand, ...(hand.device && { device: { ...hand.device, rooted: true, emulator: kind === 7 } }) } }
  return { ...made, patient: { ...made.patient, phone: city.world.people.virtualPhone(n) } }
}

const paced = (pace: (random: Random) => Pace): Manner => (city, want) => ({ ...plain(city, want), group: want.group, pace: pace(want.random) })

/** What makes each group what it is. Those that wait for returned slots are in watchers.ts. */
const MANNERS: Partial<Record<Group, Manner>> = {
  plain, newcomer, bound_just_before: boundJustBefore, far_child: farChild, child_without_id: childWithoutId, village_clinic: villageClinic, companion,
  shared_payer: sharedPayer, shared_block: sharedBlock, vpn_rooted_virtual: oddDevice,
  waitlist: (city, want) => wish(city, want),
  return_watcher: (city, want) => wish(city, want),
  family_rebook: (city, want) => wish(city, want),
  call_centre: (city, want) => wish(city, want, city.reach.byPhone(city.world.people.place(want.n).holder, want.random)),
  kiosk: (city, want) => wish(city, want, city.reach.byKiosk(want.n, want.hospital, want.random)),
  nat: (city, want) => { const made = wish(city, want); return { ...made, hand: { ...made.hand, network: city.reach.nat(want.random) } } },
  hospital_wifi: (city, want) => { const made = wish(city, want); return { ...made, hand: { ...made.hand, network: city.reach.wifi(want.hospital) } } },
  autofill: paced(() => 'quick'),
  favourite: paced((random) => random.chance(0.7) ? 'reflex' : 'quick'),
}

/** The wish of one person, with what most people do besides: sign in, pass a check now and then. */
export function makeWish(city: { world: World; reach: Reach }, want: Want): Wish {
  const made = (MANNERS[want.group] ?? plain)(city, want)
  const { random, atMs } = want
  if (made.hand.account === undefined || made.hand.channel.kind === 'phone') return made
  if (random.chance(0.12)) made.prologue.push({ at: atMs - random.between(1, 6) * MINUTE_MS, act: () => { city.world.emit('account.logged_in', accountMembers(made.hand), made.hand.account?.id) } })
  if (random.chance(0.05)) {
    const kind = random.weighted([['sms', 5], ['face', 3], ['captcha', 1], ['id_document', 1]] as const)
    made.prologue.push({ at: atMs - random.between(20, 200) * 1_000, act: () => { verify(city.world, made.hand, made.patient, kind, random.chance(0.92)) } })
  }
  return made
}

/** A fellow of the same household, who is on the same account. */
export const kin = (n: number): number => n - n % HOUSEHOLD + 1
/** How long before a request its wish is made: prologues reach back so far at most. */
export const LEAD_MS = 8 * HOUR_MS
