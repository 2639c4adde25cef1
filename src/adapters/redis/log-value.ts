import { randomInt } from 'node:crypto'
import { HEAD_WORDS, lengthAt, RING_LENGTH, Spill, type LogLayout, type LogWrite } from '../../domain/packed-log.js'
import { LiveLog } from './live-log.js'

/**
 * What Redis keeps of one entity: a string of 32-bit little-endian words, a run of operations that is only ever appended to.
 * A bare record is put; other operations begin with a word of their own, which no record can begin with, being too short:
 *
 *   DROP     then the record
 *   CORRECT  then the flags that the record was written with, then the record
 *   BASE     then a random generation, words of spills, words of records; spills; records: all that came before, folded
 *
 * A base stands only at the beginning, and takes the place of exactly the operations that it was folded from (COMPACT).
 * Records of different events commute, so the order of the operations of several processes does not matter.
 */
const DROP = 1 << 8, CORRECT = 2 << 8, BASE = 3 << 8
const BASE_HEAD = 4

/** Most words that `encodeWrite` puts before a record. */
export const OPERATION_WORDS = 2

/** Writes the words of one operation to `words`; nothing for a mere read. Returns where the next one goes. */
export function encodeWrite(words: Uint32Array, at: number, { put, drop, was }: LogWrite): number {
  const record = put ?? drop
  if (!record) return at
  if (!put) words[at++] = DROP
  else if (was !== undefined) {
    words[at++] = CORRECT
    words[at++] = was
  }
  for (let i = 0; i < record.length; i++) words[at + i] = record[i] ?? 0
  return at + record.length
}

/** A value read: the log, and how many words of it are operations that no base holds yet. */
export interface Folded { log: LiveLog; tailWords: number }

/**
 * Makes the log of a value, in the very words that the value stands in: `from` to `to`; up to `limit` the log may grow there.
 * Throws an Error when they are not a value that this code wrote.
 */
export function foldValue(words: Uint32Array, from: number, to: number, limit: number, kind: number, layout: LogLayout): Folded {
  const log = new LiveLog(kind, layout, words, from, from, limit)
  if (from < to && words[from] === BASE) readBase(log, words, from, to, kind, layout)
  const tail = log.to
  for (let at = tail; at < to;) at = applyAt(log, words, at, to)
  return { log, tailWords: to - tail }
}

/** Applies the operation at `at`, behind the log; returns where the next one begins. The log never grows into what is still to be applied. */
function applyAt(log: LiveLog, words: Uint32Array, at: number, to: number): number {
  const operation = words[at] ?? 0
  const from = operation === DROP ? at + 1 : operation === CORRECT ? at + 2 : at
  const length = from < to ? lengthAt(words, from) : 0
  if (length < HEAD_WORDS || from + length > to) throw new Error(`velocity value: an operation is cut off ${to - at} words before the end`)
  if (operation === DROP) log.dropBehind(from, length)
  else log.putBehind(from, length, operation === CORRECT ? words[at + 1] : undefined)
  return from + length
}

/** The whole log as one base, under a generation of its own. */
export function encodeBase(log: LiveLog): Buffer {
  const spills: number[] = []
  for (const [verb, spill] of log.spills ?? []) encodeSpill(spills, verb, spill)
  const words = new Uint32Array(BASE_HEAD + spills.length + log.used)
  words.set([BASE, randomInt(2 ** 32), spills.length, log.used])
  words.set(spills, BASE_HEAD)
  words.set(log.words.subarray(log.from, log.to), BASE_HEAD + spills.length)
  return Buffer.from(words.buffer)
}

function readBase(log: LiveLog, words: Uint32Array, start: number, to: number, kind: number, layout: LogLayout): void {
  const from = start + BASE_HEAD + (words[start + 2] ?? 0), end = from + (words[start + 3] ?? 0)
  if (end > to) throw new Error('velocity value: a base is cut off')
  for (let at = start + BASE_HEAD; at < from;) at = readSpill(words, at, log, kind, layout)
  log.from = from
  log.to = end
}

// A spill: verb, newest time (a double), number of rings; of each ring its newest bucket (a double), the number of sums
// that are not 0, and of each its place and the sum (a double). Most buckets of most rings are empty.

const double = new Float64Array(1), doubleWords = new Uint32Array(double.buffer)
function pushDouble(words: number[], value: number): void {
  double[0] = value
  words.push(doubleWords[0] ?? 0, doubleWords[1] ?? 0)
}
function doubleAt(words: Uint32Array, at: number): number {
  doubleWords[0] = words[at] ?? 0
  doubleWords[1] = words[at + 1] ?? 0
  return double[0] ?? 0
}

function encodeSpill(out: number[], verb: number, { newestMs, newest, sums }: Spill): void {
  out.push(verb)
  pushDouble(out, newestMs)
  out.push(newest.length)
  for (let ring = 0; ring < newest.length; ring++) {
    pushDouble(out, newest[ring] ?? -Infinity)
    const filledAt = out.push(0) - 1
    for (let place = 0; place < RING_LENGTH; place++) {
      const sum = sums[ring * RING_LENGTH + place] ?? 0
      if (sum === 0) continue
      out.push(place)
      pushDouble(out, sum)
      out[filledAt] = (out[filledAt] ?? 0) + 1
    }
  }
}

/** Returns where the next one begins. */
function readSpill(words: Uint32Array, start: number, log: LiveLog, kind: number, layout: LogLayout): number {
  const verb = words[start] ?? 0, spill = new Spill(layout.rings(kind, verb))
  spill.newestMs = doubleAt(words, start + 1)
  log.setSpill(verb, spill)
  let at = start + 4
  for (let ring = 0, rings = words[start + 3] ?? 0; ring < rings; ring++) {
    spill.newest[ring] = doubleAt(words, at)
    let filled = words[at + 2] ?? 0
    for (at += 3; filled > 0; filled--, at += 3) spill.sums[ring * RING_LENGTH + (words[at] ?? 0)] = doubleAt(words, at + 1)
  }
  return at
}
