import type { Hold, HoldResolved, HoldState, HoldStatus } from '../domain/hold.js'

/** Why a hold ended without a person: its order died, or its whole schedule did. Times are epoch milliseconds. */
export type Cancellation =
  | { orderId: string; reason: string; at: number }
  | { hospitalId: string; scheduleId: string; reason: string; at: number }

export type ResolveResult =
  | { kind: 'resolved'; hold: HoldState }
  /** Somebody or something was first; `hold` says who. A repeat of the same resolution by the same caller is `resolved`. */
  | { kind: 'already'; hold: HoldState }
  | { kind: 'unknown' }

/** A hold's end on its way out. Delivered at least once, always with the same bytes. */
export interface OutboxMessage { outboxId: string; orderId: string; holdId: string; body: string; resolved: HoldResolved }

/** Where an ended hold has to arrive. Each is tracked on its own. */
export const OUTBOX_SINKS = ['topic', 'callback', 'history'] as const
export type OutboxSink = (typeof OUTBOX_SINKS)[number]

/**
 * Holds are leases; each gets exactly one resolution whatever crashes when. A resolution and its outbox message
 * are one transaction. Every method may be repeated without effect.
 */
export interface EnforcementStore {
  /** Applies effects in order: first all holds (idempotent by holdId), then all cancellations, each of active holds placed at or before its `at`. One transaction. */
  apply(effects: { holds: readonly Hold[]; cancellations: readonly Cancellation[] }): Promise<void>
  /** A person's decision. Rejects nothing that is no longer active. */
  resolve(holdId: string, to: 'released' | 'rejected', by: string, reason: string, at: number): Promise<ResolveResult>
  /** Ends at most `limit` holds whose `expiresAt <= now`; returns how many. Safe to run in several processes. */
  expireDue(now: number, limit: number): Promise<number>
  get(holdId: string): Promise<HoldState | undefined>
  /** Newest first; `cursor` is what the previous page returned. Rejects with an error of code `BAD_CURSOR` for any other. */
  list(filter: { status?: HoldStatus; hospitalId?: string; limit: number; cursor?: string }): Promise<{ items: HoldState[]; nextCursor?: string }>
  /** Messages not yet delivered to `sink`, oldest first. */
  pending(sink: OutboxSink, limit: number): Promise<OutboxMessage[]>
  delivered(sink: OutboxSink, outboxIds: readonly string[]): Promise<void>
  ping(): Promise<void>
}
