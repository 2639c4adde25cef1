import { combine, type Words } from '../domain/hash.js'
import { DIMENSIONS, type Dimension } from './counters.js'
import type { Facts } from './facts.js'
import { dimensionIndex, flagBit, verbIndex } from './plan.js'
import { compareRecords, flagsAt, HEAD_WORDS, lengthAt, packRecord, timeAt, verbAt, wordAt, type PackedLog, type PackedRecord } from '../domain/packed-log.js'

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

/** Verbs a slot keeps. */
export const SLOT_VERBS = new Set([REQUESTED, CONFIRMED, PAID, CANCELLED, EXPIRED, RELEASED])
/** A slot taken later than this after it was given back was not handed over. */
export const HANDOFF_WITHIN_MS = 24 * 3_600_000

// Columns of a slot's records. All but releases: order (2 words), channel. Requests also: these dimensions, two words each.
const KEPT: readonly Dimension[] = ['account', 'device', 'payer', 'patient', 'phone', 'ip', 'ip_prefix']
const COLUMN = { orderHi: HEAD_WORDS, orderLo: HEAD_WORDS + 1, channel: HEAD_WORDS + 2, kept: HEAD_WORDS + 3 } as const
const keptColumn = (dimension: Dimension): number => COLUMN.kept + KEPT.indexOf(dimension) * 2
const kept = (words: Uint32Array, at: number, dimension: Dimension): Words => ({ hi: wordAt(words, at + keptColumn(dimension)), lo: wordAt(words, at + keptColumn(dimension) + 1) })

/** `channel`: low word of the channel the event itself came by (a cancel may come by another than its request). */
export function packSlotRecord(facts: Facts, channel: number, reRelease: boolean): PackedRecord {
  const flags = (facts.flags & BY_PATIENT) | (reRelease ? RE_RELEASE : 0)
  if (facts.verb === RELEASED) return packRecord(facts.verb, flags, facts.t, facts.id.hi, facts.id.lo, [])
  const columns = [facts.order?.hi ?? 0, facts.order?.lo ?? 0, channel]
  if (facts.verb === REQUESTED) for (const d of KEPT) columns.push(facts.keys[dimensionIndex(d) * 2] ?? 0, facts.keys[dimensionIndex(d) * 2 + 1] ?? 0)
  return packRecord(facts.verb, flags, facts.t, facts.id.hi, facts.id.lo, columns)
}

/** One order's hold on the slot: the position of its first request. */
interface Hand { at: number; t: number; order: number }
interface Chain { hands: Hand[]; ends: number[]; confirmations: number[]; reReleases: number[] }

/** Positions are in the order of time; `except` (-1: none) is left out. */
function readChain(log: PackedLog, except: number): Chain {
  const { words } = log
  const chain: Chain = { hands: [], ends: [], confirmations: [], reReleases: [] }
  for (let at = log.from; at < log.to; at += lengthAt(words, at)) {
    if (at === except) continue
    const verb = verbAt(words, at)
    if (verb === REQUESTED) {
      const order = wordAt(words, at + COLUMN.orderLo)
      if (!chain.hands.some((h) => h.order === order)) chain.hands.push({ at, t: timeAt(words, at), order })
    } else if (verb === EXPIRED || (verb === CANCELLED && (flagsAt(words, at) & BY_PATIENT) !== 0)) chain.ends.push(at)
    else if (verb === CONFIRMED || verb === PAID) chain.confirmations.push(at)
    else if (verb === RELEASED && (flagsAt(words, at) & RE_RELEASE) !== 0) chain.reReleases.push(at)
  }
  chain.ends.sort((a, b) => timeAt(words, a) - timeAt(words, b) || compareRecords(words, a, words, b))
  return chain
}

/** The slot came from `giver`, whose order ended at `endedAt`, to `taker`. */
interface HandOff { giver: Hand; taker: Hand; end: number; gapMs: number }

/**
 * How this hand came by the slot: the latest end of another order at or before it, unless the slot was confirmed for a
 * third one in between, more than a day passed, or nobody gave it (the hospital cancelled).
 */
function handOffTo(log: PackedLog, chain: Chain, taker: Hand): HandOff | undefined {
  const { words } = log
  const end = chain.ends.findLast((at) => timeAt(words, at) <= taker.t && wordAt(words, at + COLUMN.orderLo) !== taker.order)
  if (end === undefined) return undefined
  const giver = chain.hands.find((h) => h.order === wordAt(words, end + COLUMN.orderLo))
  const gapMs = taker.t - timeAt(words, end)
  if (!giver || gapMs > HANDOFF_WITHIN_MS) return undefined
  const taken = chain.confirmations.some((at) => {
    const order = wordAt(words, at + COLUMN.orderLo)
    return order !== taker.order && order !== giver.order && timeAt(words, at) > timeAt(words, end) && timeAt(words, at) <= taker.t
  })
  return taken ? undefined : { giver, taker, end, gapMs }
}

const same = (words: Uint32Array, a: number, b: number, dimension: Dimension): boolean | undefined => {
  const x = kept(words, a, dimension), y = kept(words, b, dimension)
  return x.lo === 0 || y.lo === 0 ? undefined : x.lo === y.lo && x.hi === y.hi
}

const HANDS_SHARED: readonly Dimension[] = ['account', 'device', 'payer', 'phone']

/** What custody writes on the taker's entities. */
export interface Derived { verb: number; t: number; id: Words; flags: number; keys: Uint32Array }

function derive(log: PackedLog, except: number): Derived[] {
  const { words } = log
  const chain = readChain(log, except)
  if (chain.ends.length === 0 && chain.reReleases.length === 0) return []
  const out: Derived[] = []
  for (const hand of chain.hands) {
    const id = { hi: wordAt(words, hand.at + 3), lo: wordAt(words, hand.at + 4) }
    if (chain.reReleases.some((at) => timeAt(words, at) <= hand.t)) out.push({ verb: WON_BACK, t: hand.t, id, flags: 0, keys: keysOf(words, hand.at) })
    const handOff = handOffTo(log, chain, hand)
    if (!handOff || same(words, handOff.giver.at, hand.at, 'patient') === true) continue
    const linked = HANDS_SHARED.some((d) => same(words, handOff.giver.at, hand.at, d) === true)
    const keys = keysOf(words, hand.at)
    const pair = pairOf(words, handOff)
    if (pair) setWords(keys, 'pair', pair)
    setWords(keys, 'giver', kept(words, handOff.giver.at, 'patient'))
    out.push({ verb: HANDED_OVER, t: hand.t, id, flags: linked ? LINKED : 0, keys })
  }
  return out
}

function pairOf(words: Uint32Array, { giver, taker }: HandOff): Words | undefined {
  const from = kept(words, giver.at, 'account'), to = kept(words, taker.at, 'account')
  return from.lo === 0 || to.lo === 0 ? undefined : combine(from, to)
}

function keysOf(words: Uint32Array, at: number): Uint32Array {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  for (const d of KEPT) setWords(keys, d, kept(words, at, d))
  return keys
}

function setWords(keys: Uint32Array, dimension: Dimension, words: Words): void {
  keys[dimensionIndex(dimension) * 2] = words.hi
  keys[dimensionIndex(dimension) * 2 + 1] = words.lo
}

const sameDerived = (a: Derived, b: Derived): boolean => a.verb === b.verb && a.t === b.t && a.id.lo === b.id.lo && a.id.hi === b.id.hi
const equalDerived = (a: Derived, b: Derived): boolean => a.flags === b.flags && a.keys.every((word, i) => word === b.keys[i])

/** What changes on the takers' entities between the chain without the record at `position` and the whole chain. */
export function chainCorrections(log: PackedLog, record: PackedRecord): { derived: Derived; undo: boolean }[] {
  const position = positionOf(log, record)
  return difference(derive(log, position), derive(log, -1))
}

/** The other way round: what changes when the record is about to be taken out of the log. */
export function chainCorrectionsOnDrop(log: PackedLog, record: PackedRecord): { derived: Derived; undo: boolean }[] {
  const position = positionOf(log, record)
  return position < 0 ? [] : difference(derive(log, -1), derive(log, position))
}

function difference(before: Derived[], after: Derived[]): { derived: Derived; undo: boolean }[] {
  const gone = before.filter((b) => !after.some((a) => sameDerived(a, b) && equalDerived(a, b))).map((derived) => ({ derived, undo: true }))
  const come = after.filter((a) => !before.some((b) => sameDerived(a, b) && equalDerived(a, b))).map((derived) => ({ derived, undo: false }))
  return [...gone, ...come]
}

function positionOf(log: PackedLog, record: PackedRecord): number {
  for (let at = log.from; at < log.to; at += lengthAt(log.words, at)) if (compareRecords(log.words, at, record, 0) === 0) return at
  return -1
}

/** Custody as features of one request; absent members are missing features. */
export interface CustodyView {
  hands: number
  returns: number
  reReleaseGapMs?: number
  handOff?: { gapMs: number; crossChannel?: boolean; same: Partial<Record<Dimension, boolean>>; shared: number; pair?: Words }
}

/** The chain as the request `own` (in the log) met it, at its own time. */
export function custodyAt(log: PackedLog, own: PackedRecord, t: number): CustodyView | undefined {
  const { words } = log
  const chain = readChain(log, -1)
  const order = own[COLUMN.orderLo] ?? 0
  const hand = chain.hands.find((h) => h.order === order)
  if (!hand) return undefined
  const reRelease = chain.reReleases.findLast((at) => timeAt(words, at) <= t)
  const handOff = handOffTo(log, chain, hand)
  return {
    hands: chain.hands.filter((h) => h.order !== order && h.t <= hand.t).length,
    returns: chain.ends.filter((at) => timeAt(words, at) <= t && wordAt(words, at + COLUMN.orderLo) !== order).length,
    ...(reRelease === undefined ? {} : { reReleaseGapMs: t - timeAt(words, reRelease) }),
    ...(handOff ? { handOff: viewOf(words, handOff) } : {}),
  }
}

function viewOf(words: Uint32Array, handOff: HandOff): NonNullable<CustodyView['handOff']> {
  const { giver, taker, end, gapMs } = handOff
  const pair = pairOf(words, handOff)
  const sames: Partial<Record<Dimension, boolean>> = {}
  for (const d of KEPT) {
    const equal = same(words, giver.at, taker.at, d)
    if (equal !== undefined) sames[d] = equal
  }
  const gaveBy = wordAt(words, end + COLUMN.channel) || wordAt(words, giver.at + COLUMN.channel)
  const tookBy = wordAt(words, taker.at + COLUMN.channel)
  return {
    gapMs, same: sames, shared: HANDS_SHARED.filter((d) => sames[d] === true).length,
    ...(pair ? { pair } : {}),
    ...(gaveBy !== 0 && tookBy !== 0 ? { crossChannel: gaveBy !== tookBy } : {}),
  }
}
