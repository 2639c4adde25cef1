import type { Decision } from '../domain/decision.js'
import type { FieldError } from '../domain/event.js'

/** What became of one incoming event. Values, not exceptions: a rejected Processing is a fault of a store. */
export type Processed =
  /** A request with its decision, durable and enforced. `duplicate`: these bytes were given out before. */
  | { kind: 'decided'; eventId: string; bytes: string; decision: Decision; duplicate: boolean }
  /** Any other type, durable. */
  | { kind: 'accepted'; eventId: string; duplicate: boolean }
  /** 400 bad input; 409 same event_id with another body; 410 too old to know whether it is a repeat. */
  | { kind: 'rejected'; eventId?: string; status: 400 | 409 | 410; errors: FieldError[] }
  /** More work than the process can hold; nothing was done. */
  | { kind: 'overloaded'; retryAfterMs: number }

/**
 * The route of one booking. The stream worker, `POST /v1/score`, `POST /v1/events` and `zhenhao replay` all call this.
 * Calls take effect in call order (arrival order); the promise settles once the effects are durable.
 */
export interface Engine {
  process(raw: Raw): Promise<Processed>
}

/** Bytes as they came, or an already parsed JSON value. `requestOnly`: anything but a booking.requested is an error at /type.
 * `backfill`: a fact of the past, of any age: counted, and decided for the record as under `observe`.
 * `traceparent`: of the caller's trace (W3C), if it has one. */
export interface Raw { body: Buffer | string | { json: unknown }; requestOnly?: boolean; backfill?: boolean; traceparent?: string }
