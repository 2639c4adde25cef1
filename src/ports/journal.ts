import type { Recorded } from '../domain/record.js'

/**
 * The durable, ordered record of every accepted event with its decision: the one source from which counters, history,
 * published decisions and holds can be brought back. Embedded it is an append-only file.
 */
export interface Journal {
  /** What was accepted under this event id, in flight included; settles once that is durable. Undefined when never. */
  find(eventId: string): Promise<Recorded | undefined> | undefined
  /**
   * Appends in call order and remembers the id at once; `durable` settles once the record survives a crash.
   * Throws, changing nothing, when there is a `fault` or the journal is closed.
   */
  append(record: Omit<Recorded, 'seq'>): { seq: number; durable: Promise<void> }
  /**
   * Durable records from `fromSeq` (inclusive) to `toSeq` (inclusive, default: all that is durable now), in order, in chunks.
   * Rejects when `fromSeq` was retired: a reader must never skip records without knowing.
   */
  read(fromSeq: number, toSeq?: number): AsyncIterable<Recorded[]>
  /**
   * Gives up records below `beforeSeq`, which nobody needs here any more, as far as they are `older` than that; returns how
   * many. Their ids stay known until they are older than `ids`. Both are epoch ms of acceptance; whole files go at a time.
   */
  retire(beforeSeq: number, older: { records: number; ids: number }): Promise<number>
  /** Lowest position that can still be read; 1 until old files were retired. */
  readonly firstSeq: number
  /** Highest position handed out. */
  readonly lastSeq: number
  /** Highest durable position; 0 when empty. */
  readonly durableSeq: number
  /** Records appended but not yet durable: the measure for back-pressure. */
  readonly pending: number
  /** Why nothing can be appended any more (a full disk, say). Final: the process must not go on deciding. */
  readonly fault: Error | undefined
  close(): Promise<void>
}

/** How far a reader of the journal has come. Small, and written often. */
export interface PositionStore {
  /** `{ done: 0 }` for a reader never seen before. */
  load(reader: string): Promise<Position>
  save(reader: string, position: Position): Promise<void>
}

/** `done`: everything up to here has taken effect. `intent`: the range that was being worked on, so that it is retried whole. */
export interface Position { done: number; intent?: { from: number; to: number } }
