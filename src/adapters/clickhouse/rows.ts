import type { Decision, Review } from '../../domain/decision.js'
import { isBookingRequest, type BookingRequest } from '../../domain/event.js'
import type { HoldResolved } from '../../domain/hold.js'
import { writeRecord, type Recorded } from '../../domain/record.js'
import { END, NULL, TAB, jsonField, textRow, type Row } from './tab-separated.js'

/** Rows of one table. `columns` are those the rows give; the others follow from them (schema.ts). */
export interface Shape<T> { columns: readonly [string, ...string[]]; toRow: (item: T) => Row }

const NEW_LINE = 10

/** The record's three lines. (A record out of the journal has them; writing it again would parse its review first.) */
const linesOf = (record: Recorded): Buffer => record.lines ?? writeRecord(record)

/** The first line: all columns are computed from it, so that no row is ever parsed or put together in this process. */
export const EVENTS: Shape<Recorded> = {
  columns: ['head'],
  toRow(record) {
    const lines = linesOf(record)
    return [jsonField(lines.subarray(0, lines.indexOf(NEW_LINE))), END]
  },
}

/** All three lines. */
export const DECISIONS: Shape<Decided> = {
  columns: ['head', 'decision', 'review'],
  toRow(record) {
    const lines = linesOf(record)
    const first = lines.indexOf(NEW_LINE), second = lines.indexOf(NEW_LINE, first + 1)
    const review = second + 1 < lines.length ? jsonField(lines.subarray(second + 1)) : NULL
    return [jsonField(lines.subarray(0, first)), TAB, jsonField(lines.subarray(first + 1, second)), TAB, review, END]
  },
}

/** A request with its decision. */
export type Decided = Recorded & { event: BookingRequest; decision: string }

export const isDecided = (record: Recorded): record is Decided => record.decision !== undefined && isBookingRequest(record.event)

/** What DateTime64(3) can hold. */
const [EARLIEST_MS, LATEST_MS] = [Date.UTC(1900, 0, 1), Date.UTC(2299, 11, 31)]

/** RFC 3339 -> `2026-11-20 07:00:00.412` in UTC. (A number would be read as seconds.) */
const timestamp = (at: string): string =>
  new Date(Math.min(Math.max(Date.parse(at), EARLIEST_MS), LATEST_MS)).toISOString().slice(0, 23).replace('T', ' ')

/** Whether the decision placed a hold. Exact: within a text of the decision the quotes would be escaped. */
export const isHeld = ({ decision }: Decided): boolean => decision.includes('"hold":{')

/** The beginning of a hold. Few decisions have one, and only those are parsed. */
export const HOLDS: Shape<Decided> = {
  columns: ['hold_id', 'first_at', 'event_id', 'order_id', 'hospital_id', 'schedule_id', 'doctor_id', 'placed_at', 'expires_at', 'on_expiry'],
  toRow({ event, decision }) {
    const { hold, decided_at } = JSON.parse(decision) as Decision & Required<Pick<Decision, 'hold'>>
    const at = timestamp(decided_at), { hospitalId, scheduleId, doctorId = null } = event.slot
    return textRow([
      hold.hold_id, at, event.eventId, event.orderId, hospitalId, scheduleId, doctorId, at, timestamp(hold.expires_at), hold.on_expiry,
    ])
  },
}

/** The end of a hold. */
export const RESOLUTIONS: Shape<HoldResolved> = {
  columns: ['hold_id', 'first_at', 'event_id', 'order_id', 'resolution', 'action', 'resolved_by', 'reason', 'resolved_at'],
  toRow({ hold_id, event_id, order_id, resolution, action, by, reason, at }) {
    return textRow([hold_id, timestamp(at), event_id, order_id, resolution, action, by, reason, timestamp(at)])
  },
}

/** The columns `recordedOf` reads back. */
export const EVENT_COLUMNS = 'seq, event_id, head'
export type StoredEvent = readonly [seq: number | string, eventId: string, head: string]
export const DECISION_COLUMNS = 'seq, event_id, decision, review'
export type StoredDecision = readonly [seq: number | string, eventId: string, decision: string, review: string | null]

/** Rows of both tables under one key, back into what was recorded. Older servers send 64-bit numbers as strings. */
export function recordedOf([, , head]: StoredEvent, decided: StoredDecision | undefined): Recorded {
  const recorded = JSON.parse(head) as Recorded
  if (decided === undefined) return recorded
  const [, , decision, review] = decided
  return { ...recorded, decision, ...(review !== null && { review: JSON.parse(review) as Review }) }
}
