import type { HoldResolved } from '../domain/hold.js'
import type { Recorded } from '../domain/record.js'

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
