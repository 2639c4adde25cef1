import { crc32 } from 'node:zlib'
import { reviewText } from '../../domain/decision.js'
import type { Recorded } from '../../ports/history-store.js'

/**
 * One record in a journal file: length and CRC-32 of the payload (little-endian), then the payload, three lines of JSON:
 * the record's head with its event, the decision's exact bytes (or nothing), the review (or nothing).
 */
const FRAME_HEAD = 8
const NEW_LINE = 10
/** How every payload begins: what a search for whole records in damaged bytes looks for. */
const PAYLOAD_START = '{"seq":'

export function encodeFrame({ seq, decision, review, ...head }: Recorded): Buffer {
  const payload = Buffer.from(`${JSON.stringify({ seq, ...head })}\n${decision ?? ''}\n${review ? reviewText(review) : ''}`)
  const frame = Buffer.allocUnsafe(FRAME_HEAD + payload.length)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload), 4)
  payload.copy(frame, FRAME_HEAD)
  return frame
}

/** The record that starts at `at`, and where the next one does. Undefined when it is torn or damaged. */
export function decodeFrame(bytes: Buffer, at: number): { record: Recorded; next: number } | undefined {
  const payload = payloadAt(bytes, at)
  if (!payload) return undefined
  const [head, decision, review] = payload.toString('utf8').split('\n')
  const record = JSON.parse(head ?? '') as Recorded
  if (decision) record.decision = decision
  if (review) readLater(record, review)
  return { record, next: at + FRAME_HEAD + payload.length }
}

/** Most who read a record, a rebuild above all, never look at its review, and parsing it takes ten times as long as the rest. */
function readLater(record: Recorded, review: string): void {
  let parsed: Recorded['review']
  Object.defineProperty(record, 'review', { enumerable: true, configurable: true, get: () => (parsed ??= JSON.parse(review) as NonNullable<Recorded['review']>) })
}

/** Position and event id of the record at `at`, without the cost of its decision and review. Undefined when torn or damaged. */
export function decodeHead(bytes: Buffer, at: number): { seq: number; eventId: string; next: number } | undefined {
  const payload = payloadAt(bytes, at)
  if (!payload) return undefined
  const { seq, event } = JSON.parse(payload.toString('utf8', 0, payload.indexOf(NEW_LINE))) as Recorded
  return { seq, eventId: event.eventId, next: at + FRAME_HEAD + payload.length }
}

/** Whether a whole record stands anywhere from `at` on: then what is before it was damaged, not torn off by a crash. */
export function holdsRecord(bytes: Buffer, at: number): boolean {
  for (let found = bytes.indexOf(PAYLOAD_START, at); found >= 0; found = bytes.indexOf(PAYLOAD_START, found + 1)) {
    if (found >= at + FRAME_HEAD && payloadAt(bytes, found - FRAME_HEAD)) return true
  }
  return false
}

function payloadAt(bytes: Buffer, at: number): Buffer | undefined {
  if (at + FRAME_HEAD > bytes.length) return undefined
  const length = bytes.readUInt32LE(at)
  const end = at + FRAME_HEAD + length
  // No record is empty; zeros, which some file systems leave behind after a power cut, would look like one.
  if (length === 0 || end > bytes.length) return undefined
  const payload = bytes.subarray(at + FRAME_HEAD, end)
  return crc32(payload) === bytes.readUInt32LE(at + 4) ? payload : undefined
}
