import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compareTo, eachOfVerb, flagsAt, lengthAt, locate, packRecord, positionOf, RING_BUCKETS, Spill, startOf, timeAt, timeOf, verbAt, verbOf, withFlags,
  type PackedLog, type PackedRecord,
} from '../../../src/domain/packed-log.js'

const T = Date.UTC(2026, 10, 20, 7)
const logOf = (...records: PackedRecord[]): PackedLog => {
  const words = Uint32Array.from(records.flat())
  return { words, from: 0, to: words.length }
}

describe('a packed record', () => {
  it('says its verb, length, flags and time again', () => {
    fc.assert(fc.property(fc.nat(0xfe), fc.nat(0xffff), fc.integer({ min: -(2 ** 42), max: 2 ** 42 }), fc.array(fc.nat(0xffffffff), { maxLength: 40 }), (verb, flags, t, columns) => {
      const words = Uint32Array.from(packRecord(verb, flags, t, 1, 2, columns))
      expect([verbAt(words, 0), flagsAt(words, 0), timeAt(words, 0), lengthAt(words, 0), [...words.subarray(5)]]).toEqual([verb, flags, t, 5 + columns.length, columns])
    }), { seed: 7 })
  })

  it('can be read before it is in a log, and given other flags', () => {
    const record = packRecord(7, 1, T, 3, 4, [5])
    expect([verbOf(record), timeOf(record)]).toEqual([7, T])
    expect(withFlags(record, 0xffff)).toEqual(packRecord(7, 0xffff, T, 3, 4, [5]))
  })

  it('longer than its length byte can say is an error, not a broken log', () => {
    expect(() => packRecord(1, 0, T, 1, 2, Array<number>(251).fill(0))).toThrow(RangeError)
    expect(lengthAt(Uint32Array.from(packRecord(1, 0, T, 1, 2, Array<number>(250).fill(0))), 0)).toBe(255)
  })
})

describe('the order of records', () => {
  it('is by time, then event hash, also before 1970 and across the 32-bit border', () => {
    const sorted = [packRecord(1, 0, -5, 0, 0, []), packRecord(1, 0, 0, 0, 0, []), packRecord(1, 0, 2 ** 32 - 1, 9, 9, []), packRecord(1, 0, 2 ** 32, 0, 0, []), packRecord(1, 0, 2 ** 32, 0, 0xffffffff, []), packRecord(1, 0, 2 ** 32, 1, 0, [])]
    for (const [i, a] of sorted.entries()) for (const [j, b] of sorted.entries()) expect(Math.sign(compareTo(Uint32Array.from(a), 0, b))).toBe(Math.sign(i - j))
  })

  it('gives every record one place, wherever its verb stands and however long the others are', () => {
    const log = logOf(packRecord(2, 0, T, 1, 1, [1, 2, 3]), packRecord(5, 0, T, 1, 1, []), packRecord(5, 0, T + 2, 1, 1, [9]), packRecord(9, 0, T, 1, 1, []))
    expect(locate(log.words, 0, log.to, packRecord(5, 0, T + 1, 1, 1, []))).toEqual({ at: 13, found: false, firstOfVerb: 8, ofVerb: 2 })
    expect(locate(log.words, 0, log.to, packRecord(5, 0, T + 2, 1, 1, []))).toEqual({ at: 13, found: true, firstOfVerb: 8, ofVerb: 2 })
    expect(locate(log.words, 0, log.to, packRecord(5, 0, T + 3, 1, 1, []))).toEqual({ at: 19, found: false, firstOfVerb: 8, ofVerb: 2 })
    expect(locate(log.words, 0, log.to, packRecord(7, 0, T, 1, 1, []))).toEqual({ at: 19, found: false, firstOfVerb: 19, ofVerb: 0 })
    expect(locate(log.words, 0, log.to, packRecord(1, 0, T, 1, 1, []))).toEqual({ at: 0, found: false, firstOfVerb: 0, ofVerb: 0 })
    expect([positionOf(log, packRecord(9, 0, T, 1, 1, [])), positionOf(log, packRecord(9, 0, T, 1, 2, []))]).toEqual([19, -1])
  })

  it('lets each verb be visited alone, oldest first', () => {
    const log = logOf(packRecord(2, 0, T, 1, 1, [1]), packRecord(5, 0, T, 1, 1, []), packRecord(5, 0, T + 2, 1, 1, [9]), packRecord(9, 0, T, 1, 1, []))
    const seen: number[] = []
    for (const verb of [2, 3, 5, 9]) eachOfVerb(log, verb, (at) => { seen.push(at) })
    expect(seen).toEqual([0, 6, 11, 17])
    expect([startOf(log, 3, 0), startOf(log, 10, 0)]).toEqual([6, log.to])
  })
})

describe('what a full log let go', () => {
  const windowMs = 64_000 // a bucket is a second
  const all = { windowMs, mask: 0, tested: 0, column: 0 }
  const recordOf = (t: number, flags = 0, fee = 0): Uint32Array => Uint32Array.from(packRecord(1, flags, t, 1, 2, [fee]))

  it('is counted to within the content of the two buckets at the edges', () => {
    fc.assert(fc.property(fc.array(fc.nat(200_000), { maxLength: 300 }), (times) => {
      const spill = new Spill([all])
      for (const t of times) spill.add(recordOf(T + t), 0, 1)
      const now = Math.max(0, ...times)
      const exact = times.filter((t) => t > now - windowMs).length
      const bucketOf = (t: number): number => Math.floor((T + t) / (windowMs / RING_BUCKETS))
      const atEdges = times.filter((t) => bucketOf(t) === bucketOf(now) || bucketOf(t) === bucketOf(now - windowMs)).length
      expect(Math.abs(spill.estimate(0, T + now) - exact)).toBeLessThanOrEqual(atEdges)
    }), { numRuns: 500, seed: 7 })
  })

  it('counts the oldest bucket in proportion', () => {
    const spill = new Spill([all])
    for (let i = 0; i < 100; i++) spill.add(recordOf(T + i * 10), 0, 1)
    expect([T + 63_999, T + 64_250, T + 64_500, T + 65_000].map((t) => spill.estimate(0, t))).toEqual([100, 75, 50, 0])
  })

  it('keeps a sum for each counter: by flags, and of fees', () => {
    const spill = new Spill([all, { ...all, mask: 1, tested: 1 }, { ...all, mask: 0, tested: 2 }, { ...all, column: 5 }])
    spill.add(recordOf(T, 1, 500), 0, 1)
    spill.add(recordOf(T, 3, 700), 0, 1)
    spill.add(recordOf(T, 0, 10), 0, 1)
    expect([0, 1, 2, 3].map((i) => spill.estimate(i, T))).toEqual([3, 2, 2, 1_210])
    spill.add(recordOf(T, 3, 700), 0, -1)
    expect([0, 1, 2, 3].map((i) => spill.estimate(i, T))).toEqual([2, 1, 2, 510])
  })

  it('forgets buckets that no window reaches, and takes late records while it can', () => {
    const spill = new Spill([all])
    spill.add(recordOf(T), 0, 1)
    spill.add(recordOf(T + 300_000), 0, 1)
    spill.add(recordOf(T + 299_000), 0, 1)
    spill.add(recordOf(T), 0, 1)
    expect([spill.estimate(0, T + 300_000), spill.estimate(0, T), spill.newestMs]).toEqual([2, 0, T + 300_000])
  })

  it('survives JSON, a ring that is still empty too', () => {
    const specs = [all, { ...all, mask: 1, tested: 1 }]
    const spill = new Spill(specs)
    spill.add(recordOf(T), 0, 1)
    const again = Spill.fromJSON(specs, JSON.parse(JSON.stringify(spill)) as ReturnType<Spill['toJSON']>)
    again.add(recordOf(T, 1), 0, 1)
    expect([again.estimate(0, T), again.estimate(1, T), again.newestMs]).toEqual([2, 1, T])
  })
})
