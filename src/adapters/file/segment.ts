import { crc32 } from 'node:zlib'
import { readRecord, readRecordHead, writeRecord, type Recorded } from '../../domain/record.js'

/**
 * One record in a journal file: length and CRC-32 of the payload (little-endian), then the payload: the record's lines.
 */
const FRAME_HEAD = 8
/** How every payload begins: what a search for whole records in damaged bytes looks for. */
const PAYLOAD_START = '{"seq":'

/** `record.lines` is set to the frame's payload. */
export function encodeFrame(record: Recorded): Buffer {
  const frame = writeRecord(record, FRAME_HEAD)
  const payload = frame.subarray(FRAME_HEAD)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload), 4)
  record.lines = payload
  return frame
}

/** The record that starts at `at`, and where the next one does. Undefined when it is torn or damaged. */
export function decodeFrame(bytes: Buffer, at: number): { record: Recorded; next: number } | undefined {
  const payload = payloadAt(bytes, at)
  return payload && { record: readRecord(payload), next: at + FRAME_HEAD + payload.length }
}

/** Position and event id of the record at `at`, without the cost of its decision and review. Undefined when torn or damaged. */
export function decodeHead(bytes: Buffer, at: number): { seq: number; eventId: string; next: number } | undefined {
  const payload = payloadAt(bytes, at)
  return payload && { ...readRecordHead(payload), next: at + FRAME_HEAD + payload.length }
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
