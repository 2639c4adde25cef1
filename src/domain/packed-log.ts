/**
 * The packed log: all that is remembered of one entity. A run of variable-length records in 32-bit words, sorted by
 * (verb, time, event hash), so that the same set of events is the same bytes however they arrived. Memory and Redis keep
 * these very words; every window is computed from them by the code in windows.ts, orders.ts and custody.ts.
 *
 *   word 0   verb | length in words << 8 | flags << 16
 *   1, 2     event time, epoch ms (high word biased by 2^31, so that times before 1970 sort too; low word)
 *   3, 4     event hash
 *   5 …      columns, by (entity, verb): see plan.ts, orders.ts, custody.ts
 */
export const HEAD_WORDS = 5
const TWO_31 = 2 ** 31
const TWO_32 = 2 ** 32
const MAX_LENGTH = 0xff

/** A view of one entity's log. Valid until the next exchange with the store. */
export interface PackedLog {
  readonly words: Uint32Array
  readonly from: number
  readonly to: number
  /** What a full log let go, by verb; absent while everything is still in the log. */
  readonly spills?: ReadonlyMap<number, Spill> | undefined
}

export const EMPTY_LOG: PackedLog = { words: new Uint32Array(0), from: 0, to: 0 }

/** A record on its way in: plain numbers, each an unsigned 32-bit word. */
export type PackedRecord = number[]

/** One step on one entity's log: put a record in (again: replaces it), drop one, or just read. */
export interface LogWrite {
  kind: number
  hi: number
  lo: number
  put?: PackedRecord
  drop?: PackedRecord
  /** `put` corrects a record that was written with these flags: one that has spilled meanwhile is corrected there. */
  was?: number
  /** Nobody looks at the log that comes back, so a store need not fetch it for this. */
  unread?: true
}

/**
 * A conversation with the velocity store: each `yield` is one trip that applies all writes, in order, and returns each one's
 * log afterwards. No I/O in here, so memory runs it straight through and Redis runs a whole batch in lock-step. Returned
 * logs are only valid until the next trip.
 */
export type Exchange<T> = Generator<readonly LogWrite[], T, readonly PackedLog[]>

/** How much of each kind of log is kept. */
export interface LogLayout {
  /** Most records of one verb in one log; the oldest by (time, hash) goes first. */
  cap(kind: number, verb: number): number
  /** What goes on being counted of the records a full log lets go; empty: nothing. */
  rings(kind: number, verb: number): readonly RingSpec[]
  /** Logs of this kind decide what is written to others: conversations about one of them go one after the other, in every process. */
  leads(kind: number): boolean
  /** An entity whose newest record is older than this behind the newest event may be forgotten. */
  horizonMs: number
  /** Changes whenever the bytes mean something else: a snapshot with another one is not read. */
  version: string
}

export function packRecord(verb: number, flags: number, timeMs: number, idHi: number, idLo: number, columns: readonly number[]): PackedRecord {
  const record = packHead(verb, flags, timeMs, idHi, idLo, columns.length)
  for (const column of columns) record.push(column)
  return record
}

/** A record to which `columns` words must still be pushed. Throws a RangeError when one byte cannot give its length. */
export function packHead(verb: number, flags: number, timeMs: number, idHi: number, idLo: number, columns: number): PackedRecord {
  const length = HEAD_WORDS + columns
  if (length > MAX_LENGTH) throw new RangeError(`a record of ${length} words is longer than ${MAX_LENGTH}`)
  return [(verb | (length << 8) | (flags << 16)) >>> 0, Math.floor(timeMs / TWO_32) + TWO_31, timeMs >>> 0, idHi, idLo]
}

/** The same record with other flags. */
export const withFlags = (record: PackedRecord, flags: number): PackedRecord => [(((record[0] ?? 0) & 0xffff) | (flags << 16)) >>> 0, ...record.slice(1)]
export const verbOf = (record: ArrayLike<number>): number => (record[0] ?? 0) & 0xff
export const timeOf = (record: ArrayLike<number>): number => ((record[1] ?? 0) - TWO_31) * TWO_32 + (record[2] ?? 0)

// Readers of logs take typed arrays only: that the compiler of V8 sees one type makes them several times as fast.
export const verbAt = (words: Uint32Array, at: number): number => (words[at] ?? 0) & 0xff
export const lengthAt = (words: Uint32Array, at: number): number => ((words[at] ?? 0) >>> 8) & 0xff
export const flagsAt = (words: Uint32Array, at: number): number => (words[at] ?? 0) >>> 16
export const timeAt = (words: Uint32Array, at: number): number => ((words[at + 1] ?? 0) - TWO_31) * TWO_32 + (words[at + 2] ?? 0)
export const wordAt = (words: Uint32Array, at: number): number => words[at] ?? 0

/** Order of records of one verb: time, event hash. Negative when the one at `at` stands before `record`, 0 when they are the same event. */
export function compareTo(words: Uint32Array, at: number, record: ArrayLike<number>): number {
  for (let k = 1; k < HEAD_WORDS; k++) {
    const difference = wordAt(words, at + k) - (record[k] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** Where a record stands or would stand, and how many of its verb there are. */
export interface Place { at: number; found: boolean; firstOfVerb: number; ofVerb: number }

export function locate(words: Uint32Array, from: number, to: number, record: ArrayLike<number>): Place {
  const verb = verbOf(record)
  let first = from
  while (first < to && verbAt(words, first) < verb) first += lengthAt(words, first)
  let end = first, last = first, ofVerb = 0
  for (; end < to && verbAt(words, end) === verb; end += lengthAt(words, end)) {
    last = end
    ofVerb++
  }
  // Events come nearly in order: most belong at the end, and only the others are worth a search.
  let at = ofVerb > 0 && compareTo(words, last, record) < 0 ? end : first
  while (at < end && compareTo(words, at, record) < 0) at += lengthAt(words, at)
  return { at, found: at < end && compareTo(words, at, record) === 0, firstOfVerb: first, ofVerb }
}

/** Position of a record in a log, -1 when it is not there. */
export function positionOf({ words, from, to }: PackedLog, record: PackedRecord): number {
  const { at, found } = locate(words, from, to, record)
  return found ? at : -1
}

/** Position of the first record of this verb or a later one, searching from `from`. */
export function startOf({ words, to }: PackedLog, verb: number, from: number): number {
  let at = from
  while (at < to && verbAt(words, at) < verb) at += lengthAt(words, at)
  return at
}

/** Visits the records of one verb, oldest first. */
export function eachOfVerb(log: PackedLog, verb: number, visit: (at: number) => void): void {
  const { words, to } = log
  for (let at = startOf(log, verb, log.from); at < to && verbAt(words, at) === verb; at += lengthAt(words, at)) visit(at)
}

/** One sum that outlives the records: over a window, of records that of the flags `tested` have those of `mask` and no others. */
export interface RingSpec {
  windowMs: number
  mask: number
  tested: number
  /** Offset of what is summed, from the record's first word; 0: records are counted. */
  column: number
}

/** Number of buckets a spilled window is cut into. */
export const RING_BUCKETS = 64
/** Sums of a ring: the window, the bucket it begins in, and one that is being filled. */
export const RING_LENGTH = RING_BUCKETS + 2

/**
 * What a full log let go of one verb: a ring of sums per counter and window. Its estimate is off by at most the content of
 * the two buckets (a 64th of the window each) at the window's edges, and too low for an event more than a bucket late.
 */
export class Spill {
  /** Time of the newest record let go: windows that begin after it are still exact. */
  newestMs = -Infinity
  /** Of each ring: number of its newest bucket, -Infinity when nothing was added; and its sums. Flat: it is read and written by the hundred. */
  readonly newest: Float64Array
  readonly sums: Float64Array

  constructor(private readonly specs: readonly RingSpec[]) {
    this.newest = new Float64Array(specs.length).fill(-Infinity)
    this.sums = new Float64Array(specs.length * RING_LENGTH)
  }

  /** `sign` -1 takes back what was added before. */
  add(words: Uint32Array, at: number, sign: 1 | -1): void {
    const timeMs = timeAt(words, at), flags = flagsAt(words, at)
    if (sign === 1 && timeMs > this.newestMs) this.newestMs = timeMs
    let ring = 0
    for (const { windowMs, mask, tested, column } of this.specs) {
      const bucket = Math.floor(timeMs / (windowMs / RING_BUCKETS))
      if ((flags & tested) === mask) this.addTo(ring, bucket, sign * (column === 0 ? 1 : wordAt(words, at + column)))
      ring++
    }
  }

  private addTo(ring: number, bucket: number, amount: number): void {
    const { sums } = this, newest = this.newest[ring] ?? -Infinity, first = ring * RING_LENGTH
    if (bucket <= newest - RING_LENGTH) return
    if (bucket > newest) {
      const skipped = Math.min(bucket - newest, RING_LENGTH)
      for (let i = 0; i < skipped; i++) sums[first + modulo(bucket - i)] = 0
      this.newest[ring] = bucket
    }
    const at = first + modulo(bucket)
    sums[at] = (sums[at] ?? 0) + amount
  }

  /** Estimated sum of ring `index` in (t - window, t]; the oldest bucket counts in proportion. */
  estimate(index: number, timeMs: number): number {
    const { sums } = this, newest = this.newest[index] ?? -Infinity, ring = index * RING_LENGTH
    const windowMs = this.specs[index]?.windowMs ?? 0
    const width = windowMs / RING_BUCKETS, startMs = timeMs - windowMs
    const oldest = Math.floor(startMs / width)
    const first = Math.max(oldest, newest - RING_LENGTH + 1)
    const last = Math.min(Math.floor(timeMs / width), newest)
    if (last < first) return 0
    let sum = 0
    for (let bucket = first, at = modulo(first); bucket <= last; bucket++) {
      sum += sums[ring + at] ?? 0
      if (++at === RING_LENGTH) at = 0
    }
    // The part of the oldest bucket that is before the window.
    if (first === oldest) sum -= (sums[ring + modulo(first)] ?? 0) * (startMs / width - oldest)
    return Math.round(sum)
  }

  toJSON(): SpillJson {
    const sumsOf = (ring: number): number[] => [...this.sums.subarray(ring * RING_LENGTH, (ring + 1) * RING_LENGTH)]
    return { newestMs: this.newestMs, rings: this.specs.map((_, ring) => ({ newest: this.newest[ring] ?? -Infinity, sums: sumsOf(ring) })) }
  }

  /** For the same layout only: the specs are not saved. */
  static fromJSON(specs: readonly RingSpec[], json: SpillJson): Spill {
    const spill = new Spill(specs)
    spill.newestMs = json.newestMs
    json.rings.forEach(({ newest, sums }, i) => {
      if (i >= specs.length) return
      spill.newest[i] = newest ?? -Infinity
      spill.sums.set(sums, i * RING_LENGTH)
    })
    return spill
  }
}

/** `newest` is null in JSON for a ring that nothing was added to. */
export interface SpillJson { newestMs: number; rings: { newest: number | null; sums: number[] }[] }

const modulo = (bucket: number): number => ((bucket % RING_LENGTH) + RING_LENGTH) % RING_LENGTH
