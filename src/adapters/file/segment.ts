import { crc32 } from 'node:zlib'
import type { Recorded } from '../../ports/history-store.js'

/**
 * One record in a journal file: length and CRC-32 of the payload (little-endian), then the payload, three lines of JSON:
 * the record's head with its event, the decision's exact bytes (or nothing), the review (or nothing).
 */
const FRAME_HEAD = 8

export function encodeFrame({ decision, review, ...head }: Recorded): Buffer {
  const payload = Buffer.from(`${JSON.stringify(head)}\n${decision ?? ''}\n${review ? JSON.stringify(review) : ''}`)
  const frame = Buffer.allocUnsafe(FRAME_HEAD + payload.length)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload), 4)
  payload.copy(frame, FRAME_HEAD)
  return frame
}

/** The record that starts at `at`, and where the next one does. Undefined when it is torn or damaged. */
export function decodeFrame(bytes: Buffer, at: number): { record: Recorded; next: number } | undefined {
  const next = frameEnd(bytes, at)
  if (next === undefined) return undefined
  const payload = bytes.subarray(at + FRAME_HEAD, next)
  if (crc32(payload) !== bytes.readUInt32LE(at + 4)) return undefined
  const [head, decision, review] = payload.toString('utf8').split('\n')
  const record = JSON.parse(head ?? '') as Recorded
  if (decision) record.decision = decision
  if (review) record.review = JSON.parse(review) as NonNullable<Recorded['review']>
  return { record, next }
}

/** Where the frame at `at` ends; undefined when the bytes end before it does. */
export function frameEnd(bytes: Buffer, at: number): number | undefined {
  if (at + FRAME_HEAD > bytes.length) return undefined
  const end = at + FRAME_HEAD + bytes.readUInt32LE(at)
  return end > bytes.length ? undefined : end
}
