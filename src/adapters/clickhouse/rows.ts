import { reviewText, type Decision, type Review } from '../../domain/decision.js'
import { isBookingRequest, type BookingEvent, type BookingRequest } from '../../domain/event.js'
import type { HoldResolved } from '../../domain/hold.js'
import type { Recorded } from '../../ports/history-store.js'

/** A row by column name. Null stands for what the event did not say: no column has a default that could pass for a value. */
export type Row = Readonly<Record<string, string | number | null | readonly string[]>>

/** What DateTime64(3) can hold. Only the columns are clamped; the event's own JSON keeps any time exactly. */
const [EARLIEST_MS, LATEST_MS] = [Date.UTC(1900, 0, 1), Date.UTC(2299, 11, 31)]

/** Epoch milliseconds -> `2026-11-20 07:00:00.412` in UTC. (A number would be read as seconds, a JS Date loses its milliseconds.) */
const timestamp = (ms: number): string => new Date(Math.min(Math.max(ms, EARLIEST_MS), LATEST_MS)).toISOString().slice(0, 23).replace('T', ' ')

export function eventRow({ seq, acceptedAt, bodyHash, event }: Recorded): Row {
  return {
    seq, accepted_at: timestamp(acceptedAt), occurred_at: timestamp(event.occurredAt), event_id: event.eventId, type: event.type,
    order_id: event.orderId ?? null,
    hospital_id: event.slot?.hospitalId ?? null, schedule_id: event.slot?.scheduleId ?? null, slot_id: event.slot?.slotId ?? null,
    doctor_id: event.slot?.doctorId ?? null, department_id: event.slot?.departmentId ?? null,
    channel_id: event.channel?.id ?? null, channel_kind: event.channel?.kind ?? null,
    account_token: event.account?.token ?? null, patient_token: event.patient?.token ?? null, phone_token: event.patient?.phone?.token ?? null,
    device_token: event.device?.token ?? null, ip_token: event.network?.ipToken ?? null, ip_prefix_token: event.network?.prefixToken ?? null,
    payer_token: event.payer?.token ?? null, seat_token: event.operator?.seatToken ?? null,
    body_hash: bodyHash, event: JSON.stringify(event),
  }
}

/** A request with its decision, parsed and as given out. */
export interface Decided { seq: number; event: BookingRequest; decision: Decision; bytes: string; review: Review | undefined }

/** The decided requests of a batch. */
export function decidedOf(batch: readonly Recorded[]): Decided[] {
  return batch.flatMap(({ seq, event, decision, review }) =>
    decision !== undefined && isBookingRequest(event) ? [{ seq, event, decision: JSON.parse(decision) as Decision, bytes: decision, review }] : [])
}

export function decisionRow({ seq, event, decision, bytes, review }: Decided): Row {
  const { slot, channel, account, patient } = event
  return {
    seq, event_id: event.eventId, decision_id: decision.decision_id, order_id: event.orderId,
    hospital_id: slot.hospitalId, schedule_id: slot.scheduleId, slot_id: slot.slotId ?? null, doctor_id: slot.doctorId ?? null,
    department_id: slot.departmentId ?? null, channel_id: channel.id, channel_kind: channel.kind,
    account_token: account?.token ?? null, patient_token: patient.token,
    decided_at: timestamp(Date.parse(decision.decided_at)), occurred_at: timestamp(event.occurredAt),
    outcome: decision.outcome, basis: decision.basis, score: decision.score, reason_codes: decision.reasons.map((r) => r.code),
    hold_id: decision.hold?.hold_id ?? null, degraded: decision.degraded,
    rules_version: decision.versions.rules, model_version: decision.versions.model, policy_version: decision.versions.policy,
    would_be: review?.would_be.outcome ?? null, would_be_basis: review?.would_be.basis ?? null,
    would_be_reason_codes: review?.would_be.reasons.map((r) => r.code) ?? [],
    enforcement: review?.enforcement ?? null, rule_score: review?.rule_score ?? null,
    rule_ids: review?.rule_hits.map((h) => h.rule) ?? [], shadow_rule_ids: review?.shadow_hits.map((h) => h.rule) ?? [],
    rule_errors: review?.rule_errors ?? [], saturated: review?.saturated ?? [],
    decision: bytes, review: review === undefined ? null : reviewText(review),
  }
}

/** The beginning of the hold that a decision placed; none when it placed none. */
export function holdRows({ event, decision }: Decided): Row[] {
  if (decision.hold === undefined) return []
  const placedAt = timestamp(Date.parse(decision.decided_at))
  return [{
    hold_id: decision.hold.hold_id, first_at: placedAt, event_id: event.eventId, order_id: event.orderId,
    hospital_id: event.slot.hospitalId, schedule_id: event.slot.scheduleId, doctor_id: event.slot.doctorId ?? null,
    placed_at: placedAt, expires_at: timestamp(Date.parse(decision.hold.expires_at)), on_expiry: decision.hold.on_expiry,
  }]
}

/** The end of a hold. */
export function resolutionRow(end: HoldResolved): Row {
  const at = timestamp(Date.parse(end.at))
  return {
    hold_id: end.hold_id, first_at: at, event_id: end.event_id, order_id: end.order_id,
    resolution: end.resolution, action: end.action, resolved_by: end.by, reason: end.reason, resolved_at: at,
  }
}

/** The columns `recordedOf` reads back. Epoch milliseconds come out as whole numbers. */
export const EVENT_COLUMNS = 'seq, event_id, toUnixTimestamp64Milli(accepted_at), body_hash, event'
export type StoredEvent = readonly [seq: number | string, eventId: string, acceptedAt: number | string, bodyHash: string, event: string]
export const DECISION_COLUMNS = 'seq, event_id, decision, review'
export type StoredDecision = readonly [seq: number | string, eventId: string, decision: string, review: string | null]

/** Rows of both tables under one key, back into what was recorded. Older servers send 64-bit numbers as strings. */
export function recordedOf([seq, , acceptedAt, bodyHash, event]: StoredEvent, decided: StoredDecision | undefined): Recorded {
  const recorded: Recorded = { seq: Number(seq), acceptedAt: Number(acceptedAt), bodyHash, event: JSON.parse(event) as BookingEvent }
  if (decided === undefined) return recorded
  const [, , decision, review] = decided
  return { ...recorded, decision, ...(review !== null && { review: JSON.parse(review) as Review }) }
}
