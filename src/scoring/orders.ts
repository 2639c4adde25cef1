import type { Words } from '../domain/hash.js'
import { compareTo, flagsAt, HEAD_WORDS, lengthAt, packRecord, timeAt, timeOf, verbAt, verbOf, wordAt, type PackedLog, type PackedRecord } from '../domain/packed-log.js'
import { DIMENSIONS } from './counters.js'
import type { Facts, Keys } from './facts.js'
import { flagBit, ORDER_CAP, verbIndex } from './plan.js'

/**
 * What is remembered of one order: its requests with all they said, and what became of it. A lifecycle event may carry only
 * an order_id, come before its request, late or twice; where it belongs is always computed from the whole log, never from
 * the order of arrival:
 *   - a request is `superseded` when the same order has a later one;
 *   - a lifecycle event belongs to the order's latest request at or before it, else to its earliest one, else it waits.
 * Ties in time are broken by event hash; a request at the same instant as a lifecycle event counts as before it.
 */
export const REQUESTED = verbIndex('booking.requested')
const CONFIRMED = verbIndex('booking.confirmed')
const PAID = verbIndex('booking.paid')
const CANCELLED = verbIndex('booking.cancelled')
const EXPIRED = verbIndex('booking.expired')
export const SUPERSEDED = flagBit('superseded')
const BY_PATIENT = flagBit('by_patient')
/** Verbs that tell what became of an order. */
export const LIFECYCLE = new Set([CONFIRMED, PAID, EXPIRED, CANCELLED, verbIndex('booking.attended'), verbIndex('booking.no_show')])
/** Not an event type: a turn in the slow queue, given to this order. Column 0-1: the turn's time. */
export const TICKET = 0xfe

const STORED_DIMENSIONS = DIMENSIONS.length - 1 // all but `giver`, which only custody knows
const CHANNEL = DIMENSIONS.indexOf('channel')
/** Columns of a request: slot key (2 words, 0 without), fee, a mask of the dimensions present, then two words for each of those. */
const COLUMN = { slotHi: HEAD_WORDS, slotLo: HEAD_WORDS + 1, fee: HEAD_WORDS + 2, mask: HEAD_WORDS + 3, keys: HEAD_WORDS + 4 } as const
/** The one column of a lifecycle event: the channel that it came by itself, 0 when it did not say. */
const LIFECYCLE_CHANNEL = HEAD_WORDS

export function packOrderRecord(facts: Facts): PackedRecord {
  const { verb, flags, t, id, keys, slot } = facts
  if (verb !== REQUESTED) return packRecord(verb, flags & BY_PATIENT, t, id.hi, id.lo, [channelOf(keys)])
  const columns = [slot?.hi ?? 0, slot?.lo ?? 0, facts.feeFen, 0]
  let mask = 0
  for (let d = 0; d < STORED_DIMENSIONS; d++) {
    const lo = keys[d * 2 + 1] ?? 0
    if (lo === 0) continue
    mask |= 1 << d
    columns.push(keys[d * 2] ?? 0, lo)
  }
  columns[COLUMN.mask - HEAD_WORDS] = mask >>> 0
  return packRecord(verb, flags, t, id.hi, id.lo, columns)
}

const channelOf = (keys: Keys): number => keys[CHANNEL * 2 + 1] ?? 0
const idAt = (words: Uint32Array, at: number): Words => ({ hi: wordAt(words, at + 3), lo: wordAt(words, at + 4) })

function unpackRequest(words: Uint32Array, at: number, order: Words): Facts {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  const mask = wordAt(words, at + COLUMN.mask)
  let column = at + COLUMN.keys
  for (let d = 0; d < STORED_DIMENSIONS; d++) {
    if ((mask & (1 << d)) === 0) continue
    keys[d * 2] = wordAt(words, column)
    keys[d * 2 + 1] = wordAt(words, column + 1)
    column += 2
  }
  const slot = { hi: wordAt(words, at + COLUMN.slotHi), lo: wordAt(words, at + COLUMN.slotLo) }
  return {
    t: timeAt(words, at), id: idAt(words, at), verb: REQUESTED, flags: flagsAt(words, at),
    keys, feeFen: wordAt(words, at + COLUMN.fee), order, slot: slot.lo === 0 ? undefined : slot,
  }
}

/** A statement of an order that is to be written on the entities of `facts`, or taken back from them. */
export interface Correction { facts: Facts; channel: number; undo: boolean }

/**
 * What has to be said elsewhere because of the event `added`, which is already in the log. A lifecycle event: itself. A
 * request, whose own record the caller has written as if it were the latest: that it or another is superseded, and the
 * lifecycle events that are its own now and were another's before. The same again says the same again.
 */
export function corrections(log: PackedLog, added: PackedRecord, order: Words): Correction[] {
  const requests = positionsOf(log, (verb) => verb === REQUESTED)
  if (verbOf(added) !== REQUESTED) {
    const owner = ownerOf(log, requests, timeOf(added))
    return owner === undefined ? [] : [lifecycleOf(log, owner, Uint32Array.from(added), 0, order, false)]
  }
  const own = requests.findIndex((at) => compareTo(log.words, at, added) === 0)
  // A full log may have turned it away: older than all that are kept, so it is superseded and nothing is its own.
  if (own < 0) return [superseded(Uint32Array.from(added), 0, order)]
  if (requests.length === 1 && log.to === log.from + lengthAt(log.words, log.from)) return []
  return [...supersededBy(log, requests, own, order), ...movedTo(log, requests, own, order)]
}

function positionsOf({ words, from, to }: PackedLog, wanted: (verb: number) => boolean): number[] {
  const found: number[] = []
  for (let at = from; at < to; at += lengthAt(words, at)) if (wanted(verbAt(words, at))) found.push(at)
  return found
}

const ownerOf = ({ words }: PackedLog, requests: readonly number[], t: number): number | undefined =>
  requests.findLast((at) => timeAt(words, at) <= t) ?? requests[0]

/** The latest request replaces the one before it; any other is replaced itself. */
function supersededBy({ words }: PackedLog, requests: readonly number[], own: number, order: Words): Correction[] {
  const replaced = own === requests.length - 1 ? requests[own - 1] : requests[own]
  return replaced === undefined ? [] : [superseded(words, replaced, order)]
}

function superseded(words: Uint32Array, at: number, order: Words): Correction {
  const facts = unpackRequest(words, at, order)
  return { facts: { ...facts, flags: facts.flags | SUPERSEDED }, channel: channelOf(facts.keys), undo: false }
}

/** Lifecycle events that belong to request `own`: taken from whose they would be without it, and said of it. */
function movedTo(log: PackedLog, requests: readonly number[], own: number, order: Words): Correction[] {
  const { words } = log
  const others = requests.filter((_, i) => i !== own)
  const now = requests[own]
  const out: Correction[] = []
  for (const at of positionsOf(log, (verb) => LIFECYCLE.has(verb))) {
    if (now === undefined || ownerOf(log, requests, timeAt(words, at)) !== now) continue
    const before = ownerOf(log, others, timeAt(words, at))
    if (before !== undefined) out.push(lifecycleOf(log, before, words, at, order, true))
    out.push(lifecycleOf(log, now, words, at, order, false))
  }
  return out
}

/** The event at `at` of `words`, said of the request at `owner` of the log: about its keys, with its flags and fee. */
function lifecycleOf(log: PackedLog, owner: number, words: Uint32Array, at: number, order: Words, undo: boolean): Correction {
  const request = unpackRequest(log.words, owner, order)
  const facts: Facts = { ...request, t: timeAt(words, at), id: idAt(words, at), verb: verbAt(words, at), flags: flagsAt(words, at) | request.flags }
  return { facts, channel: wordAt(words, at + LIFECYCLE_CHANNEL), undo }
}

/** How the order stands for its request `own`. `saturated`: it had more requests than its log keeps. */
export interface OrderState { attempt: number; confirmed: boolean; ended: boolean; turnAt: number | undefined; saturated: boolean }

/**
 * What has arrived counts, whatever its time: a request that comes late must not be held once its order is confirmed or dead.
 * Only an end that belongs to an earlier request of the order is over and done with: the order was asked for again since.
 */
export function orderStateAt(log: PackedLog, own: PackedRecord, t: number): OrderState {
  const { words } = log
  const state: OrderState = { attempt: 0, confirmed: false, ended: false, turnAt: undefined, saturated: false }
  let requests = 0
  let endedMs: number | undefined
  for (let at = log.from; at < log.to; at += lengthAt(words, at)) {
    const verb = verbAt(words, at)
    if (verb === REQUESTED) {
      requests++
      if (compareTo(words, at, own) <= 0) state.attempt++
    } else if (verb === CONFIRMED || verb === PAID) state.confirmed = true
    else if (verb === CANCELLED || verb === EXPIRED) endedMs = Math.max(endedMs ?? -Infinity, timeAt(words, at))
    else if (verb === TICKET && timeAt(words, at) <= t) {
      state.turnAt = Math.max(state.turnAt ?? 0, wordAt(words, at + HEAD_WORDS) * 2 ** 32 + wordAt(words, at + HEAD_WORDS + 1))
    }
  }
  state.ended = endedMs !== undefined && (endedMs >= t || state.attempt <= 1)
  state.saturated = requests >= ORDER_CAP
  return state
}
