import type { FeatureValue } from '../domain/decision.js'
import type { BookingEvent } from '../domain/event.js'
import type { Words } from '../domain/hash.js'
import { chainCorrections, chainCorrectionsOnDrop, custodyAt, packSlotRecord, SLOT_VERBS, type CustodyView, type Derived } from './custody.js'
import { factsOf, keyAt, type Facts } from './facts.js'
import { corrections, LIFECYCLE, orderStateAt, packOrderRecord, REQUESTED, SUPERSEDED, TICKET, type Correction, type OrderState } from './orders.js'
import { eachOfVerb, EMPTY_LOG, HEAD_WORDS, packRecord, timeAt, wordAt, type Exchange, type LogWrite, type PackedLog, type PackedRecord } from '../domain/packed-log.js'
import { dimensionIndex, kindIndex, verbIndex, type VelocityPlan } from './plan.js'
import { computeWindows } from './windows.js'

const ORDER = kindIndex('order'), SLOT = kindIndex('slot'), QUEUE = kindIndex('queue')
const RELEASED = verbIndex('schedule.released'), BOUND = verbIndex('patient.bound')
const PAIR = dimensionIndex('pair'), CHANNEL = dimensionIndex('channel'), ACCOUNT = dimensionIndex('account'), PATIENT = dimensionIndex('patient')

/** What velocity says of one request, itself counted. */
export interface Observed {
  features: Record<string, FeatureValue>
  saturated: string[]
  order: OrderState
  custody: CustodyView | undefined
  /** When this patient was last bound to this account, from the stream; epoch ms. */
  boundAt: number | undefined
}

/** Counts an event of any type; for a request, also reads what it and its history amount to. Idempotent. */
export function* observe(plan: VelocityPlan, event: BookingEvent): Exchange<Observed | undefined> {
  const facts = factsOf(event)
  const channel = keyAt(facts.keys, CHANNEL).lo
  if (facts.verb === REQUESTED) return yield* observeRequest(plan, facts, channel)
  if (LIFECYCLE.has(facts.verb)) { yield* observeLifecycle(plan, facts); return undefined }
  const writes = entityWrites(plan, facts, false)
  if (facts.verb === RELEASED && facts.slot) {
    const record = packSlotRecord(facts, channel, event.reRelease === true)
    const logs = yield [...writes, { kind: SLOT, ...facts.slot, put: record }]
    const chain = chainCorrections(logs.at(-1) ?? EMPTY_LOG, record)
    if (chain.length > 0) yield chain.flatMap((c) => derivedWrites(plan, c.derived, c.undo))
  } else if (writes.length > 0) yield writes
  return undefined
}

function* observeRequest(plan: VelocityPlan, facts: Facts, channel: number): Exchange<Observed> {
  const order = facts.order ?? { hi: 0, lo: 0 }
  const record = packOrderRecord(facts)
  const slotRecord = packSlotRecord(facts, channel, false)
  const own: LogWrite[] = [{ kind: ORDER, ...order, put: record }, ...(facts.slot ? [{ kind: SLOT, ...facts.slot, put: slotRecord }] : [])]
  const entities = entityWrites(plan, facts, true)
  let logs = yield [...own, ...entities]

  const fromOrder = corrections(logs[0] ?? EMPTY_LOG, record, order, true)
  const fromSlot = facts.slot ? chainCorrections(logs[1] ?? EMPTY_LOG, slotRecord) : []
  const handOff = facts.slot ? custodyAt(logs[1] ?? EMPTY_LOG, slotRecord, facts.t)?.handOff : undefined
  const reads: LogWrite[] = [...own, ...entities].map(({ kind, hi, lo }) => ({ kind, hi, lo }))
  if (handOff?.pair) reads.push({ kind: PAIR, ...handOff.pair })
  if (fromSlot.length > 0) yield fromSlot.flatMap((c) => derivedWrites(plan, c.derived, c.undo))
  if (fromOrder.length > 0) yield* apply(plan, fromOrder)
  if (fromOrder.length > 0 || fromSlot.length > 0 || handOff?.pair) logs = yield reads
  return read(plan, facts, reads, logs, record, slotRecord)
}

function* observeLifecycle(plan: VelocityPlan, facts: Facts): Exchange<void> {
  if (!facts.order) return
  const record = packOrderRecord(facts)
  const logs = yield [{ kind: ORDER, ...facts.order, put: record }]
  yield* apply(plan, corrections(logs[0] ?? EMPTY_LOG, record, facts.order, false))
}

/** Writes what an order has to say (or takes it back) on its entities and its slot, and what the slot's chain makes of it. */
function* apply(plan: VelocityPlan, list: readonly Correction[]): Exchange<void> {
  for (const { facts, channel, undo } of list) {
    const was = facts.verb === REQUESTED ? facts.flags ^ SUPERSEDED : undefined
    const writes = entityWrites(plan, facts, false).map((w) => (undo ? undone(w) : was === undefined ? w : { ...w, was }))
    if (!facts.slot || facts.verb === REQUESTED || !SLOT_VERBS.has(facts.verb)) {
      if (writes.length > 0) yield writes
      continue
    }
    const record = packSlotRecord(facts, channel, false)
    const key = { kind: SLOT, ...facts.slot }
    const before = undo ? chainCorrectionsOnDrop((yield [key])[0] ?? EMPTY_LOG, record) : []
    const logs = yield [...writes, undo ? { ...key, drop: record } : { ...key, put: record }]
    const chain = undo ? before : chainCorrections(logs.at(-1) ?? EMPTY_LOG, record)
    if (chain.length > 0) yield chain.flatMap((c) => derivedWrites(plan, c.derived, c.undo))
  }
}

/** One write per entity that has a counter for this verb; with `all`, a read for every other entity the event names. */
function entityWrites(plan: VelocityPlan, facts: Facts, all: boolean): LogWrite[] {
  const writes: LogWrite[] = []
  for (const entity of plan) {
    const { hi, lo } = keyAt(facts.keys, entity.kind)
    if (lo === 0) continue
    const layout = entity.byVerb[facts.verb]
    if (!layout) {
      if (all) writes.push({ kind: entity.kind, hi, lo })
      continue
    }
    const columns = layout.columns.map((d) => facts.keys[d * 2 + 1] ?? 0)
    if (layout.fee) columns.push(facts.feeFen)
    writes.push({ kind: entity.kind, hi, lo, put: packRecord(facts.verb, facts.flags, facts.t, facts.id.hi, facts.id.lo, columns) })
  }
  return writes
}

function derivedWrites(plan: VelocityPlan, derived: Derived, undo: boolean): LogWrite[] {
  const facts: Facts = { ...derived, feeFen: 0, order: undefined, slot: undefined }
  const writes = entityWrites(plan, facts, false)
  return undo ? writes.map(undone) : writes
}

const undone = ({ put, ...key }: LogWrite): LogWrite => (put ? { ...key, drop: put } : key)

function read(plan: VelocityPlan, facts: Facts, reads: readonly LogWrite[], logs: readonly PackedLog[], record: PackedRecord, slotRecord: PackedRecord): Observed {
  const features: Record<string, FeatureValue> = {}
  const saturated: string[] = []
  let boundAt: number | undefined
  let custody: CustodyView | undefined
  let order: OrderState = { attempt: 1, confirmed: false, ended: false, turnAt: undefined }
  reads.forEach(({ kind }, i) => {
    const log = logs[i] ?? EMPTY_LOG
    const entity = plan[kind]
    if (kind === ORDER) order = orderStateAt(log, record, facts.t)
    else if (kind === SLOT) custody = custodyAt(log, slotRecord, facts.t)
    else if (entity) computeWindows(entity, log, facts.t, features, saturated)
    if (kind === ACCOUNT) boundAt = lastBound(plan, log, facts)
  })
  return { features, saturated, order, custody, boundAt }
}

function lastBound(plan: VelocityPlan, log: PackedLog, facts: Facts): number | undefined {
  const column = plan[ACCOUNT]?.byVerb[BOUND]?.columns.indexOf(PATIENT) ?? -1
  const patient = keyAt(facts.keys, PATIENT).lo
  let newest: number | undefined
  if (column >= 0) eachOfVerb(log, BOUND, (at) => {
    const time = timeAt(log.words, at)
    if (time <= facts.t && wordAt(log.words, at + HEAD_WORDS + column) === patient) newest = time
    return true
  })
  return newest
}

/** What of the slow queue an order and its schedule need to know. */
export interface QueueKey { order: Words; schedule: Words; id: Words }

export function queueKeyOf(event: BookingEvent): QueueKey | undefined {
  const facts = factsOf(event)
  const schedule = keyAt(facts.keys, dimensionIndex('schedule'))
  return facts.order && schedule.lo !== 0 ? { order: facts.order, schedule, id: facts.id } : undefined
}

/**
 * Takes a turn in the schedule's slow queue: not before `t + waitMs`, and `spacingMs` after the latest turn given out
 * (a leaky bucket in event time, so that replay agrees). Returns the turn's time.
 */
export function* takeTurn(key: QueueKey, t: number, waitMs: number, spacingMs: number): Exchange<number> {
  const [log] = yield [{ kind: QUEUE, ...key.schedule }]
  let latest = -Infinity
  if (log) eachOfVerb(log, TICKET, (at) => { latest = timeAt(log.words, at); return true })
  const turnAt = Math.max(t + waitMs, latest + spacingMs)
  yield* recordTurn(key, t, turnAt)
  return turnAt
}

/** Writes a turn that was given out before (used on recovery; idempotent). */
export function* recordTurn(key: QueueKey, t: number, turnAt: number): Exchange<void> {
  const turn = packRecord(TICKET, 0, t, key.id.hi, key.id.lo, [Math.floor(turnAt / 2 ** 32), turnAt >>> 0])
  yield [
    { kind: QUEUE, ...key.schedule, put: packRecord(TICKET, 0, turnAt, key.id.hi, key.id.lo, []) },
    { kind: ORDER, ...key.order, put: turn },
  ]
}
