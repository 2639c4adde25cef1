import type { FeatureValue } from '../domain/decision.js'
import type { BookingEvent } from '../domain/event.js'
import type { Words } from '../domain/hash.js'
import { emptyVector } from './catalogue.js'
import { chainCorrections, chainCorrectionsOnDrop, custodyAt, packSlotRecord, SLOT_VERBS, type ChainCorrection, type CustodyView } from './custody.js'
import { factsOf, keyAt, type Facts } from './facts.js'
import { corrections, LIFECYCLE, orderStateAt, packOrderRecord, REQUESTED, SUPERSEDED, TICKET, type Correction, type OrderState } from './orders.js'
import { eachOfVerb, EMPTY_LOG, HEAD_WORDS, packHead, packRecord, timeAt, wordAt, type Exchange, type LogWrite, type PackedLog, type PackedRecord } from '../domain/packed-log.js'
import { dimensionIndex, kindIndex, verbIndex, type VelocityPlan } from './plan.js'
import { computeWindows } from './windows.js'

const ORDER = kindIndex('order'), SLOT = kindIndex('slot'), QUEUE = kindIndex('queue')
const RELEASED = verbIndex('schedule.released'), BOUND = verbIndex('patient.bound'), SUSPECTED = verbIndex('booking.suspected')
const PAIR = dimensionIndex('pair'), CHANNEL = dimensionIndex('channel'), ACCOUNT = dimensionIndex('account'), PATIENT = dimensionIndex('patient')

/** What velocity says of one request, itself counted. */
export interface Observed {
  /** By index in the catalogue; velocity fills in its own, the others are still missing. */
  features: (FeatureValue | undefined)[]
  saturated: string[]
  /** Undefined when velocity could not be asked. */
  order: OrderState | undefined
  custody: CustodyView | undefined
  /** When this patient was last bound to this account, from the stream; epoch ms. */
  boundAt: number | undefined
}

/** What is known when velocity cannot be asked: nothing. */
export const unobserved = (plan: VelocityPlan): Observed => ({ features: emptyVector(plan.features), saturated: [], order: undefined, custody: undefined, boundAt: undefined })

/** Writes on everything a request names that it was suspected. Idempotent; nobody reads it now. */
export function* suspect(plan: VelocityPlan, event: BookingEvent): Exchange<void> {
  const writes = entityWrites(plan, { ...factsOf(event), verb: SUSPECTED }, false)
  if (writes.length > 0) yield writes
}

/** Counts an event of any type; for a request, also reads what it and its history amount to. Idempotent. */
export function* observe(plan: VelocityPlan, event: BookingEvent): Exchange<Observed | undefined> {
  const facts = factsOf(event)
  if (facts.verb === REQUESTED) return yield* observeRequest(plan, facts)
  if (LIFECYCLE.has(facts.verb)) yield* observeLifecycle(plan, facts)
  else if (facts.verb === RELEASED && facts.slot) yield* writeToSlot(plan, entityWrites(plan, facts, false), facts.slot, packSlotRecord(facts, 0, event.reRelease === true))
  else {
    const writes = entityWrites(plan, facts, false)
    if (writes.length > 0) yield writes
  }
  return undefined
}

function* observeRequest(plan: VelocityPlan, facts: Facts): Exchange<Observed> {
  const order = facts.order ?? facts.id
  const record = packOrderRecord(facts), slotRecord = packSlotRecord(facts, keyAt(facts.keys, CHANNEL).lo, false)
  const writes: LogWrite[] = [{ kind: ORDER, ...order, put: record }]
  if (facts.slot) writes.push({ kind: SLOT, ...facts.slot, put: slotRecord })
  writes.push(...entityWrites(plan, facts, true))
  let logs = yield writes

  const orderLog = logs[0] ?? EMPTY_LOG, slotLog = facts.slot ? logs[1] ?? EMPTY_LOG : undefined
  const state = orderStateAt(orderLog, record, facts.t)
  // Neither view is changed by the corrections below: they are about other orders, or other entities.
  const custody = slotLog && custodyAt(slotLog, slotRecord, facts.t)
  const fromOrder = corrections(orderLog, record, order)
  const fromSlot = slotLog ? chainCorrections(slotLog, slotRecord) : []
  const pair = custody?.handOff?.pair

  if (fromSlot.length > 0) yield derivedWrites(plan, fromSlot)
  if (fromOrder.length > 0) yield* apply(plan, fromOrder)
  if (pair) writes.push({ kind: PAIR, ...pair })
  if (pair || fromSlot.length > 0 || fromOrder.length > 0) logs = yield writes.map(({ kind, hi, lo }) => ({ kind, hi, lo }))
  return { order: state, custody, ...readEntities(plan, facts, writes, logs, saturatedHistory(state, custody)) }
}

function* observeLifecycle(plan: VelocityPlan, facts: Facts): Exchange<void> {
  if (!facts.order) return
  const record = packOrderRecord(facts)
  const logs = yield [{ kind: ORDER, ...facts.order, put: record }]
  yield* apply(plan, corrections(logs[0] ?? EMPTY_LOG, record, facts.order))
}

/** Writes what an order has to say (or takes it back) on its entities and its slot, and what the slot's chain makes of it. */
function* apply(plan: VelocityPlan, list: readonly Correction[]): Exchange<void> {
  for (const { facts, channel, undo } of list) {
    const writes = entityWrites(plan, facts, false)
    if (facts.verb === REQUESTED) yield writes.map((write) => ({ ...write, was: facts.flags & ~SUPERSEDED }))
    else if (!facts.slot || !SLOT_VERBS.has(facts.verb)) { if (writes.length > 0) yield undo ? writes.map(undone) : writes }
    else if (undo) yield* takeFromSlot(plan, writes.map(undone), facts.slot, packSlotRecord(facts, channel, false))
    else yield* writeToSlot(plan, writes, facts.slot, packSlotRecord(facts, channel, false))
  }
}

function* writeToSlot(plan: VelocityPlan, writes: readonly LogWrite[], slot: Words, record: PackedRecord): Exchange<void> {
  const [log] = yield [{ kind: SLOT, ...slot, put: record }, ...writes]
  const chain = chainCorrections(log ?? EMPTY_LOG, record)
  if (chain.length > 0) yield derivedWrites(plan, chain)
}

function* takeFromSlot(plan: VelocityPlan, writes: readonly LogWrite[], slot: Words, record: PackedRecord): Exchange<void> {
  const [log] = yield [{ kind: SLOT, ...slot }]
  const chain = chainCorrectionsOnDrop(log ?? EMPTY_LOG, record)
  yield [{ kind: SLOT, ...slot, drop: record }, ...writes, ...derivedWrites(plan, chain)]
}

/** One write per entity that has a counter for this verb; with `all`, a read for every other entity the event names. Without, nobody reads the logs. */
function entityWrites(plan: VelocityPlan, facts: Facts, all: boolean): LogWrite[] {
  const { keys, verb, flags, t, id, feeFen } = facts
  const writes: LogWrite[] = []
  for (const { kind, byVerb } of plan.entities) {
    const hi = keys[kind * 2] ?? 0, lo = keys[kind * 2 + 1] ?? 0
    if (lo === 0) continue
    const layout = byVerb[verb]
    if (layout) {
      const record = packHead(verb, flags, t, id.hi, id.lo, layout.columns.length + (layout.fee ? 1 : 0))
      for (const d of layout.columns) record.push(keys[d * 2 + 1] ?? 0)
      if (layout.fee) record.push(feeFen)
      writes.push(all ? { kind, hi, lo, put: record } : { kind, hi, lo, put: record, unread: true })
    } else if (all) writes.push({ kind, hi, lo })
  }
  return writes
}

const derivedWrites = (plan: VelocityPlan, chain: readonly ChainCorrection[]): LogWrite[] => chain.flatMap(({ derived, undo }) => {
  const writes = entityWrites(plan, { ...derived, feeFen: 0, order: undefined, slot: undefined }, false)
  return undo ? writes.map(undone) : writes
})

const undone = ({ put, ...key }: LogWrite): LogWrite => (put ? { ...key, drop: put } : key)

/** Features of histories that were longer than what is kept of them. */
function saturatedHistory(order: OrderState, custody: CustodyView | undefined): string[] {
  return [...(order.saturated ? ['order_attempt'] : []), ...(custody?.saturated === true ? ['slot_hands', 'slot_returns'] : [])]
}

function readEntities(
  plan: VelocityPlan, facts: Facts, reads: readonly LogWrite[], logs: readonly PackedLog[], saturated: string[],
): Pick<Observed, 'features' | 'saturated' | 'boundAt'> {
  const out = { features: emptyVector(plan.features), saturated }
  let boundAt: number | undefined
  for (let i = 0; i < reads.length; i++) {
    const kind = reads[i]?.kind ?? -1, log = logs[i] ?? EMPTY_LOG
    const entity = plan.entities[kind]
    if (entity) computeWindows(entity, log, facts, out)
    if (kind === ACCOUNT) boundAt = lastBound(plan, log, facts)
  }
  return { ...out, boundAt }
}

function lastBound(plan: VelocityPlan, log: PackedLog, facts: Facts): number | undefined {
  const column = plan.entities[ACCOUNT]?.byVerb[BOUND]?.columns.indexOf(PATIENT) ?? -1
  const patient = keyAt(facts.keys, PATIENT).lo
  let newest: number | undefined
  if (column >= 0) eachOfVerb(log, BOUND, (at) => {
    const time = timeAt(log.words, at)
    if (time <= facts.t && wordAt(log.words, at + HEAD_WORDS + column) === patient) newest = time
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
 * (a leaky bucket in event time, so that replay agrees). Returns the turn's time, in whole ms.
 */
export function* takeTurn(key: QueueKey, t: number, waitMs: number, spacingMs: number): Exchange<number> {
  const [log] = yield [{ kind: QUEUE, ...key.schedule }]
  let latest = -Infinity
  if (log) eachOfVerb(log, TICKET, (at) => { latest = timeAt(log.words, at) })
  const turnAt = Math.ceil(Math.max(t + waitMs, latest + spacingMs))
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
