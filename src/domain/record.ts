import type { Review } from './decision.js'
import { reviewText } from './decision.js'
import type { BookingEvent } from './event.js'

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
  /**
   * Generation of the shared counters (`Standing`) its event was counted in; absent where they are this
   * process's own, and where they could not be asked: then it is still to be counted. */
  countedIn?: string
  /** It was suspected for what it was by itself, and whoever shares something with it is seen in that light (scoring/score.ts). */
  suspected?: true
  /** The decision's exact bytes. */
  decision?: string
  review?: Review
  /** The record as `writeRecord` wrote it, where somebody did: the next one need not. */
  lines?: Buffer
}

/**
 * A record as it is kept: three lines of JSON without the last line's end: its head with the event, the decision's exact
 * bytes (or nothing), the review (or nothing). The buffer has `headroom` bytes before them, for a frame's own head.
 */
export function writeRecord(record: Recorded, headroom = 0): Buffer {
  if (record.lines && headroom === 0) return record.lines
  const { seq, acceptedAt, bodyHash, event, backfilled, countedIn, suspected, decision, review } = record
  const text = `${JSON.stringify({ seq, acceptedAt, bodyHash, event, backfilled, countedIn, suspected })}\n${decision ?? ''}\n${review ? reviewText(review) : ''}`
  const bytes = Buffer.allocUnsafe(headroom + Buffer.byteLength(text))
  bytes.write(text, headroom)
  return bytes
}

const NEW_LINE = 10

/** What `writeRecord` wrote, without headroom. Throws a SyntaxError for anything else. */
export function readRecord(lines: Buffer): Recorded {
  const first = lines.indexOf(NEW_LINE), second = lines.indexOf(NEW_LINE, first + 1)
  const record = JSON.parse(lines.toString('utf8', 0, first)) as Recorded
  if (second > first + 1) record.decision = lines.toString('utf8', first + 1, second)
  record.lines = lines
  if (second + 1 < lines.length) readReviewLater(record, lines)
  return record
}

/**
 * Takes the review from the record's lines when somebody asks. Most, a rebuild above all, never do, and parsing it takes ten
 * times as long as the rest; and a record that waits in memory is light without it.
 */
export function readReviewLater(record: Recorded, lines: Buffer): void {
  let parsed: Review | undefined
  const review = (): Review => (parsed ??= JSON.parse(lines.toString('utf8', lines.lastIndexOf(NEW_LINE) + 1)) as Review)
  Object.defineProperty(record, 'review', { enumerable: true, configurable: true, get: review })
}

/** Position and event id, without the cost of the other lines. */
export function readRecordHead(lines: Buffer): { seq: number; eventId: string } {
  const { seq, event } = JSON.parse(lines.toString('utf8', 0, lines.indexOf(NEW_LINE))) as Recorded
  return { seq, eventId: event.eventId }
}
