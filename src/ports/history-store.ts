import type { BookingEvent } from '../domain/event.js'
import type { Review } from '../domain/decision.js'
import type { HoldResolved } from '../domain/hold.js'

/** One accepted event as the journal keeps it, with its decision when it was a request. */
export interface Recorded {
  /** Position in the journal, from 1, without gaps. */
  seq: number
  /** Wall clock at acceptance, epoch milliseconds. */
  acceptedAt: number
  /** Keyed hash of the canonical body; two bodies with the same event id differ in it. */
  bodyHash: string
  event: BookingEvent
  /** Brought in by `replay --record`: counted and decided for the record only; nothing is published or enforced. */
  backfilled?: true
  /** The decision's exact bytes. */
  decision?: string
  review?: Review
}

/** Events, decisions with their feature snapshots and rule hits, and holds, for years. */
export interface HistoryStore {
  /** Creates or upgrades the schema; safe to run at every start and in several processes. */
  migrate(): Promise<void>
  /** Stores a batch. The same `token` again is a no-op (insert deduplication), so a retry after a crash cannot double rows. */
  insert(token: string, batch: readonly Recorded[]): Promise<void>
  insertResolutions(token: string, batch: readonly HoldResolved[]): Promise<void>
  /** What was recorded for an event id, newest version. */
  find(eventId: string): Promise<Recorded | undefined>
  /** Everything in the order it was accepted, for rebuilds; `fromSeq` inclusive. */
  read(fromSeq: number): AsyncIterable<Recorded[]>
  ping(): Promise<void>
  close(): Promise<void>
}
