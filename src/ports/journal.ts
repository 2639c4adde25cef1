import type { Recorded } from './history-store.js'

/** What is known of an event id. `recorded` settles once the record is durable. */
export interface Known { bodyHash: string; recorded: Promise<Recorded> }

/**
 * The durable, ordered record of every accepted event with its decision: the one source from which counters, history,
 * published decisions and holds can be brought back. Embedded it is an append-only file.
 */
export interface Journal {
  /** What was accepted under this event id, in flight included; undefined when never (or forgotten, see `remembersFrom`). */
  find(eventId: string): Known | undefined
  /** Appends in call order and remembers the id at once; `durable` settles after the record survives a kill -9 and a power cut. */
  append(record: Omit<Recorded, 'seq'>): { seq: number; durable: Promise<void> }
  /** Records from `fromSeq` (inclusive) that are durable now, in order, in chunks. Ends when it has caught up. */
  read(fromSeq: number): AsyncIterable<Recorded[]>
  /** Highest durable position; 0 when empty. */
  readonly durableSeq: number
  close(): Promise<void>
}
