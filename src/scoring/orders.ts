import type { Words } from '../domain/hash.js'
import { DIMENSIONS } from './counters.js'
import type { Facts, Keys } from './facts.js'
import { flagBit, verbIndex } from './plan.js'
import { compareRecords, flagsAt, HEAD_WORDS, lengthAt, packRecord, sameEvent, timeAt, verbAt, wordAt, type PackedLog, type PackedRecord } from '../domain/packed-log.js'

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
/** Verbs that tell what became of an order. */
export const LIFECYCLE = new Set([CONFIRMED, PAID, EXPIRED, CANCELLED, verbIndex('booking.attended'), verbIndex('booking.no_show')])
/** Not an event type: a turn in the slow queue, given to this order. Column 0-1: the turn's time. */
export const TICKET = 0xfe

/** A request as its order remembers it: enough to write its record on every entity again. */
export interface RememberedRequest { facts: Facts }

const STORED_DIMENSIONS = DIMENSIONS.length - 1 // all but `giver`, which only custody knows

/** Columns: slot key (2 words, 0 without), fee, a mask of the dimensions present, then two words for each of those. */
export function packOrderRecord(facts: Facts): PackedRecord {
  if (facts.verb !== REQUESTED) return packRecord(facts.verb, facts.flags, facts.t, facts.id.hi, facts.id.lo, [channelOf(facts.keys)])
  const columns = [facts.slot?.hi ?? 0, facts.slot?.lo ?? 0, facts.feeFen, 0]
  let mask = 0
  for (let d = 0; d < STORED_DIMENSIONS; d++) {
    const lo = facts.keys[d * 2 + 1] ?? 0
    if (lo === 0) continue
    mask |= 1 << d
    columns.push(facts.keys[d * 2] ?? 0, lo)
  }
  columns[3] = mask >>> 0
  return packRecord(facts.verb, facts.flags, facts.t, facts.id.hi, facts.id.lo, columns)
}

const CHANNEL = DIMENSIONS.indexOf('channel')
const channelOf = (keys: Keys): number => keys[CHANNEL * 2 + 1] ?? 0

function unpackRequest(words: Uint32Array, at: number, order: Words): Facts {
  const keys = new Uint32Array(DIMENSIONS.length * 2)
  const mask = wordAt(words, at + HEAD_WORDS + 3)
  let column = at + HEAD_WORDS + 4
  for (let d = 0; d < STORED_DIMENSIONS; d++) {
    if ((mask & (1 << d)) === 0) continue
    keys[d * 2] = wordAt(words, column)
    keys[d * 2 + 1] = wordAt(words, column + 1)
    column += 2
  }
  const slot = { hi: wordAt(words, at + HEAD_WORDS), lo: wordAt(words, at + HEAD_WORDS + 1) }
  return {
    t: timeAt(words, at), id: { hi: wordAt(words, at + 3), lo: wordAt(words, at + 4) }, verb: REQUESTED, flags: flagsAt(words, at),
    keys, feeFen: wordAt(words, at + HEAD_WORDS + 2), order, slot: slot.lo === 0 ? undefined : slot,
  }
}

/** One thing an order has to say to other entities: an event, about the keys of the request it belongs to. */
export interface Statement {
  /** Position of the event in the order's log. */
  at: number
  /** Position of the request whose keys it is about. */
  request: number
  flags: number
}

/** All statements of an order, the event at `except` left out (-1: none): what it would say without it. */
function statements(log: PackedLog, except: number): Statement[] {
  const { words } = log
  const requests: number[] = []
  const events: number[] = []
  for (let at = log.from; at < log.to; at += lengthAt(words, at)) {
    if (at === except) continue
    if (verbAt(words, at) === REQUESTED) requests.push(at)
    else if (LIFECYCLE.has(verbAt(words, at))) events.push(at)
  }
  const latest = requests.at(-1)
  const said = requests.map((at) => ({ at, request: at, flags: at === latest ? flagsAt(words, at) : flagsAt(words, at) | SUPERSEDED }))
  const first = requests[0]
  if (first === undefined) return said
  for (const at of events) {
    const before = requests.findLast((r) => timeAt(words, r) <= timeAt(words, at))
    said.push({ at, request: before ?? first, flags: flagsAt(words, at) })
  }
  return said
}

/** A statement that is to be written on the entities of `about`, or taken back from them. */
export interface Correction { facts: Facts; channel: number; undo: boolean }

/**
 * What changes elsewhere because of the event `added` (already in the log): statements that are new, changed, or taken back.
 * Its own statement comes too, unless the caller has written it already (`ownWritten`).
 */
export function corrections(log: PackedLog, added: PackedRecord, order: Words, ownWritten: boolean): Correction[] {
  const { words } = log
  const own = findEvent(log, added)
  const before = statements(log, own)
  const after = statements(log, -1)
  if (ownWritten && before.length === 0 && after.length <= 1) return []
  const out: Correction[] = []
  const say = (s: Statement, undo: boolean): void => {
    const request = unpackRequest(words, s.request, order)
    const facts: Facts = s.at === s.request ? { ...request, flags: s.flags } : {
      ...request, t: timeAt(words, s.at), id: { hi: wordAt(words, s.at + 3), lo: wordAt(words, s.at + 4) },
      verb: verbAt(words, s.at), flags: s.flags | (request.flags & ~SUPERSEDED),
    }
    out.push({ facts, channel: s.at === s.request ? channelOf(request.keys) : wordAt(words, s.at + HEAD_WORDS), undo })
  }
  for (const s of before) {
    const now = after.find((a) => a.at === s.at)
    if (now?.request !== s.request) say(s, true)
  }
  for (const s of after) {
    const was = before.find((b) => b.at === s.at)
    const changed = was?.request !== s.request || was.flags !== s.flags
    if (changed && !(ownWritten && s.at === own && s.flags === flagsAt(words, own))) say(s, false)
  }
  return out
}

function findEvent(log: PackedLog, record: PackedRecord): number {
  for (let at = log.from; at < log.to; at += lengthAt(log.words, at)) {
    if (verbAt(log.words, at) === verbAt(record, 0) && sameEvent(log.words, at, record, 0)) return at
  }
  return -1
}

/** How the order stood when the request `own` was made. */
export interface OrderState { attempt: number; confirmed: boolean; ended: boolean; turnAt: number | undefined }

export function orderStateAt(log: PackedLog, own: PackedRecord, t: number): OrderState {
  const { words } = log
  const state: OrderState = { attempt: 0, confirmed: false, ended: false, turnAt: undefined }
  for (let at = log.from; at < log.to; at += lengthAt(words, at)) {
    const verb = verbAt(words, at)
    if (verb === REQUESTED) { if (compareRecords(words, at, own, 0) <= 0) state.attempt++; continue }
    if (timeAt(words, at) > t) continue
    if (verb === CONFIRMED || verb === PAID) state.confirmed = true
    else if (verb === CANCELLED || verb === EXPIRED) state.ended = true
    else if (verb === TICKET) state.turnAt = Math.max(state.turnAt ?? 0, wordAt(words, at + HEAD_WORDS) * 2 ** 32 + wordAt(words, at + HEAD_WORDS + 1))
  }
  return state
}
