import { combine, WordSet, type Words } from '../domain/hash.js'
import { flagsAt, HEAD_WORDS, lengthAt, packRecord, positionOf, startOf, timeAt, verbAt, wordAt, type PackedLog, type PackedRecord } from '../domain/packed-log.js'
import { DIMENSIONS, type Dimension } from './counters.js'
import type { Facts } from './facts.js'
import { dimensionIndex, flagBit, SLOT_CAP, verbIndex } from './plan.js'

/**
 * A slot's chain of hands: released, requested by A, cancelled, re-released, requested by B. A hand is an order; it takes
 * the slot at its first request for it. Everything here is computed from the slot's whole log, so late and out-of-order
 * events give the chain that was, not the order of arrival.
 */
const REQUESTED = verbIndex('booking.requested')
const CONFIRMED = verbIndex('booking.confirmed')
const PAID = verbIndex('booking.paid')
const CANCELLED = verbIndex('booking.cancelled')
const EXPIRED = verbIndex('booking.expired')
const RELEASED = verbIndex('schedule.released')
const HANDED_OVER = verbIndex('slot.handed_over')
const WON_BACK = verbIndex('slot.won_back')
/** In slot logs only: this release brought a returned slot back. */
const RE_RELEASE = 1 << 15
const BY_PATIENT = flagBit('by_patient')
const LINKED = flagBit('linked')
const NONE = -1

/** Verbs a slot keeps. */
export const SLOT_VERBS = new Set([REQUESTED, CONFIRMED, PAID, CANCELLED, EXPIRED, RELEASED])
/** A slot taken later than this after it was given back was not handed over. */
export const HANDOFF_WITHIN_MS = 24 * 3_600_000

/** What custody knows of a hand, and so what hand-offs can be counted by (besides `pair` and `giver`). */
export const HAND_DIMENSIONS: readonly Dimension[] = ['account', 'device', 'payer', 'patient', 'phone', 'ip', 'ip_prefix']
/** Any of these in common links two hands. */
const LINKS: readonly Dimension[] = ['account', 'device', 'payer', 'phone']

// Columns of a slot's records. All but releases: order (2 words), channel. Requests also: HAND_DIMENSIONS, two words each.
const COLUMN = { orderHi: HEAD_WORDS, orderLo: HEAD_WORDS + 1, channel: HEAD_WORDS + 2, kept: HEAD_WORDS + 3 } as const
/** Where a hand's dimensions stand among an event's keys. */
const KEY_AT = HAND_DIMENSIONS.map((d) => dimensionIndex(d) * 2)
const KEPT_COLUMN = new Map(HAND_DIMENSIONS.map((d, i) => [d, COLUMN.kept + i * 2]))

/** `channel`: low word of the channel the event itself came by (a cancel may come by another than its request). */
export function packSlotRecord(facts: Facts, channel: number, reRelease: boolean): PackedRecord {
  const { verb, t, id, order, keys } = facts
  const flags = (facts.flags & BY_PATIENT) | (reRelease ? RE_RELEASE : 0)
  if (verb === RELEASED) return packRecord(verb, flags, t, id.hi, id.lo, [])
  const columns = [order?.hi ?? 0, order?.lo ?? 0, channel]
  if (verb === REQUESTED) for (const at of KEY_AT) columns.push(keys[at] ?? 0, keys[at + 1] ?? 0)
  return packRecord(verb, flags, t, id.hi, id.lo, columns)
}

/** A slot's log, read as if the record at `except` were not in it (NONE: all of it). Positions are offsets into its words. */
interface Chain { log: PackedLog; except: number }

const orderAt = (words: Uint32Array, at: number): number => wordAt(words, at + COLUMN.orderLo)
const isEnd = (words: Uint32Array, at: number): boolean =>
  verbAt(words, at) === EXPIRED || (verbAt(words, at) === CANCELLED && (flagsAt(words, at) & BY_PATIENT) !== 0)

/** Visits the records from verb `low` to verb `high` (their numbers), in the order of the log. */
function each({ log, except }: Chain, low: number, high: number, visit: (at: number) => void): void {
  const { words, to } = log
  for (let at = startOf(log, low, log.from); at < to && verbAt(words, at) <= high; at += lengthAt(words, at)) if (at !== except) visit(at)
}

/** The hand of an order: the position of its first request. */
function handOf(chain: Chain, order: number): number {
  const { log: { words, from, to }, except } = chain
  for (let at = startOf(chain.log, REQUESTED, from); at < to && verbAt(words, at) === REQUESTED; at += lengthAt(words, at)) {
    if (at !== except && orderAt(words, at) === order) return at
  }
  return NONE
}

/** The latest end of another order at or before `t`; at the same instant an expiry before a cancel, then by hash. */
function latestEnd(chain: Chain, order: number, t: number): number {
  const { words } = chain.log
  let latest = NONE
  each(chain, EXPIRED, CANCELLED, (at) => {
    if (!isEnd(words, at) || orderAt(words, at) === order || timeAt(words, at) > t) return
    if (latest === NONE || timeAt(words, at) >= timeAt(words, latest)) latest = at
  })
  return latest
}

/** Whether a third order had the slot after `end` and at or before `t`. */
function takenBetween(chain: Chain, end: number, taker: number, t: number): boolean {
  const { words } = chain.log
  let taken = false
  each(chain, CONFIRMED, PAID, (at) => {
    const order = orderAt(words, at)
    if (order !== taker && order !== orderAt(words, end) && timeAt(words, at) > timeAt(words, end) && timeAt(words, at) <= t) taken = true
  })
  return taken
}

function latestReRelease(chain: Chain, t: number): number | undefined {
  const { words } = chain.log
  let latest: number | undefined
  each(chain, RELEASED, RELEASED, (at) => {
    if ((flagsAt(words, at) & RE_RELEASE) !== 0 && timeAt(words, at) <= t) latest = timeAt(words, at)
  })
  return latest
}

/** The slot came from the hand at `giver`, whose order ended at `end`, to the hand at `taker`. */
interface HandOff { giver: number; taker: number; end: number; gapMs: number }

/**
 * How a hand came by the slot: the latest end of another order at or before it, unless the slot was confirmed for a
 * third one in between, more than a day passed, or nobody gave it (the hospital cancelled).
 */
function handOffTo(chain: Chain, taker: number): HandOff | undefined {
  const { words } = chain.log
  const t = timeAt(words, taker), order = orderAt(words, taker)
  const end = latestEnd(chain, order, t)
  if (end === NONE) return undefined
  const giver = handOf(chain, orderAt(words, end))
  const gapMs = t - timeAt(words, end)
  if (giver === NONE || gapMs > HANDOFF_WITHIN_MS || takenBetween(chain, end, order, t)) return undefined
  return { giver, taker, end, gapMs }
}

function kept(words: Uint32Array, at: number, dimension: Dimension): Words {
  const column = at + (KEPT_COLUMN.get(dimension) ?? 0)
  return { hi: wordAt(words, column), lo: wordAt(words, column + 1) }
}

/** Undefined when one of the two did not say. */
function same(words: Uint32Array, a: number, b: number, dimension: Dimension): boolean | undefined {
  const x = kept(words, a, dimension), y = kept(words, b, dimension)
  return x.lo === 0 || y.lo === 0 ? undefined : x.lo === y.lo && x.hi === y.hi
}

function pairOf(words: Uint32Array, { giver, taker }: HandOff): Words | undefined {
  const from = kept(words, giver, 'account'), to = kept(words, taker, 'account')
  return from.lo === 0 || to.lo === 0 ? undefined : combine(from, to)
}

// ---- what custody writes on the takers' entities

export interface Derived { verb: number; t: number; id: Words; flags: number; keys: Uint32Array }

/** What the hand of an order amounts to: a slot won back, a slot handed over. */
function derivedOf(chain: Chain, order: number): Derived[] {
  const { words } = chain.log
  const hand = handOf(chain, order)
  if (hand === NONE) return []
  const t = timeAt(words, hand)
  const id = { hi: wordAt(words, hand + 3), lo: wordAt(words, hand + 4) }
  const out: Derived[] = []
  if (latestReRelease(chain, t) !== undefined) out.push({ verb: WON_BACK, t, id, flags: 0, keys: keysOf(words, hand) })
  const handOff = handOffTo(chain, hand)
  if (!handOff || same(words, handOff.giver, hand, 'patient') === true) return out
  const linked = LINKS.some((d) => same(words, handOff.giver, hand, d) === true)
  const keys = keysOf(words, hand)
  const pair = pairOf(words, handOff)
  if (pair) setWords(keys, 'pair', pair)
  setWords(keys, 'giver', kept(words, handOff.giver, 'patient'))
  out.push({ verb: HANDED_OVER, t, id, flags: linked ? LINKED : 0, keys })
  return out
}

function keysOf(words: Uint32Array, at: number): Uint32Array {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  let column = at + COLUMN.kept
  for (const key of KEY_AT) {
    keys[key] = wordAt(words, column++)
    keys[key + 1] = wordAt(words, column++)
  }
  return keys
}

function setWords(keys: Uint32Array, dimension: Dimension, words: Words): void {
  keys[dimensionIndex(dimension) * 2] = words.hi
  keys[dimensionIndex(dimension) * 2 + 1] = words.lo
}

/**
 * Orders whose hand may look different with the record at `added` than without it. A request: its own, and, when it is the
 * first of an order that gave the slot away, whoever took it. Anything else: the hands at or after it.
 */
function affectedOrders(chain: Chain, added: number): number[] {
  const { words } = chain.log
  const order = orderAt(words, added)
  if (verbAt(words, added) !== REQUESTED) return handsFrom(chain, timeAt(words, added))
  if (handOf(chain, order) !== added) return []
  let ends = 0
  each(chain, EXPIRED, CANCELLED, (at) => { if (isEnd(words, at) && orderAt(words, at) === order) ends++ })
  return ends > 0 ? handsFrom(chain, -Infinity) : [order]
}

function handsFrom(chain: Chain, t: number): number[] {
  const { words } = chain.log
  const orders = new Set<number>()
  each(chain, REQUESTED, REQUESTED, (at) => { if (timeAt(words, at) >= t) orders.add(orderAt(words, at)) })
  return [...orders]
}

const sameDerived = (a: Derived, b: Derived): boolean => a.verb === b.verb && a.t === b.t && a.id.lo === b.id.lo && a.id.hi === b.id.hi
  && a.flags === b.flags && a.keys.every((word, i) => word === b.keys[i])

export interface ChainCorrection { derived: Derived; undo: boolean }

/** What changes on the takers' entities between the chain without `record` and the whole chain. */
export function chainCorrections(log: PackedLog, record: PackedRecord): ChainCorrection[] {
  if (isAlone(log)) return []
  const position = positionOf(log, record)
  return position === NONE ? [] : difference({ log, except: position }, { log, except: NONE }, affectedOrders({ log, except: NONE }, position))
}

/** One record alone derives nothing: it takes two hands, or a hand and a re-release. Most slots never see more. */
const isAlone = ({ words, from, to }: PackedLog): boolean => to - from === (to > from ? lengthAt(words, from) : 0)

/** The other way round: what changes when the record is about to be taken out of the log. */
export function chainCorrectionsOnDrop(log: PackedLog, record: PackedRecord): ChainCorrection[] {
  const position = positionOf(log, record)
  return position === NONE ? [] : difference({ log, except: NONE }, { log, except: position }, affectedOrders({ log, except: NONE }, position))
}

function difference(before: Chain, after: Chain, orders: readonly number[]): ChainCorrection[] {
  return orders.flatMap((order) => {
    const was = derivedOf(before, order), is = derivedOf(after, order)
    const gone = was.filter((b) => !is.some((a) => sameDerived(a, b))).map((derived) => ({ derived, undo: true }))
    const come = is.filter((a) => !was.some((b) => sameDerived(a, b))).map((derived) => ({ derived, undo: false }))
    return [...gone, ...come]
  })
}

// ---- what a request sees

/** Custody as features of one request; absent members are missing features. */
export interface CustodyView {
  hands: number
  returns: number
  reReleaseGapMs?: number
  /** `shared`: how many of account, device, payer and phone are the same; absent when none can be compared. */
  handOff?: { gapMs: number; crossChannel?: boolean; same: Partial<Record<Dimension, boolean>>; shared?: number; pair?: Words }
  /** More was said of this slot than its log keeps. */
  saturated: boolean
}

const others = new WordSet(2 * SLOT_CAP)

/** The chain as the request `own` (in the log) met it, at its own time. */
export function custodyAt(log: PackedLog, own: PackedRecord, t: number): CustodyView | undefined {
  const { words } = log
  const chain: Chain = { log, except: NONE }
  const order = own[COLUMN.orderLo] ?? 0
  const hand = handOf(chain, order)
  if (hand === NONE) return undefined
  const handMs = timeAt(words, hand)
  let requests = 0, ends = 0, returns = 0
  others.clear()
  each(chain, REQUESTED, REQUESTED, (at) => {
    requests++
    if (timeAt(words, at) <= handMs && orderAt(words, at) !== order) others.add(orderAt(words, at))
  })
  each(chain, EXPIRED, CANCELLED, (at) => {
    ends++
    if (isEnd(words, at) && timeAt(words, at) <= t && orderAt(words, at) !== order) returns++
  })
  const reReleasedMs = latestReRelease(chain, t)
  const handOff = returns === 0 ? undefined : handOffTo(chain, hand)
  return {
    hands: others.size, returns, saturated: requests >= SLOT_CAP || ends >= SLOT_CAP,
    ...(reReleasedMs === undefined ? {} : { reReleaseGapMs: t - reReleasedMs }),
    ...(handOff ? { handOff: viewOf(words, handOff) } : {}),
  }
}

function viewOf(words: Uint32Array, handOff: HandOff): NonNullable<CustodyView['handOff']> {
  const { giver, taker, end, gapMs } = handOff
  const pair = pairOf(words, handOff)
  const sames: Partial<Record<Dimension, boolean>> = {}
  for (const d of HAND_DIMENSIONS) {
    const equal = same(words, giver, taker, d)
    if (equal !== undefined) sames[d] = equal
  }
  const comparable = LINKS.filter((d) => sames[d] !== undefined)
  const gaveBy = wordAt(words, end + COLUMN.channel) || wordAt(words, giver + COLUMN.channel)
  const tookBy = wordAt(words, taker + COLUMN.channel)
  return {
    gapMs, same: sames,
    ...(comparable.length > 0 ? { shared: comparable.filter((d) => sames[d] === true).length } : {}),
    ...(pair ? { pair } : {}),
    ...(gaveBy !== 0 && tookBy !== 0 ? { crossChannel: gaveBy !== tookBy } : {}),
  }
}
