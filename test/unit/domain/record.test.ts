import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readRecord, readRecordHead, writeRecord, type Recorded } from '../../../src/domain/record.js'
import { anEntry, bare } from '../../support/journal-entries.js'

const T = Date.parse('2026-11-20T07:00:00.000+08:00')
const decided: Recorded = { seq: 3, ...anEntry(3) }
const counted: Recorded = { seq: 4, ...anEntry(4) }
const linesOf = (record: Recorded): string[] => writeRecord(record).toString().split('\n')
/** With two members between them, so that a review read from the wrong place would not be JSON. */
const withReview = (lines: Buffer): string => `${lines.toString().split('\n').slice(0, 2).join('\n')}\nno JSON`

describe('a record', () => {
  it('is what it was after it was written and read, whatever is in it', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('请验证身份', '"quoted" \\ \n\r\u2028', '\ud83c\udfe5', ''))
    const plain = { noNullPrototype: true }
    const records = fc.record({
      seq: fc.integer({ min: 1 }), acceptedAt: fc.integer({ min: 0, max: T }), bodyHash: text,
      event: fc.record({ eventId: text, type: fc.constant('booking.paid' as const), occurredAt: fc.integer(), orderId: text }, plain),
    }, plain)
    // Bytes of a decision are JSON as this process or another wrote it: it has no line end, but any spacing and escapes.
    const decisions = fc.oneof(fc.constant(undefined), fc.record({ note: text, score: fc.double({ noNaN: true }) }).map((d) => ` ${JSON.stringify(d)} `))
    fc.assert(fc.property(records, decisions, fc.boolean(), fc.constantFrom(decided.review, undefined), (head, decision, backfilled, review) => {
      const record: Recorded = { ...head, ...(backfilled ? { backfilled } : {}), ...(decision === undefined ? {} : { decision }), ...(review ? { review } : {}) }
      const read = readRecord(writeRecord(record))
      expect(bare(read)).toStrictEqual(record)
      expect(Object.keys(bare(read)).sort()).toEqual(Object.keys(record).sort())
    }))
  })

  it('has the decision on a line of its own, byte for byte', () => {
    const decision = decided.decision ?? ''
    expect(decision).toContain('\\u2028')
    expect(linesOf(decided)).toEqual([expect.stringContaining('{"seq":3,'), decision, JSON.stringify(decided.review)])
    expect(readRecord(writeRecord(decided)).decision).toBe(decision)
  })

  it('without decision and review has two empty lines in their place, and none of them afterwards', () => {
    expect(linesOf(counted).slice(1)).toEqual(['', ''])
    expect(Object.keys(readRecord(writeRecord(counted))).sort()).toEqual(['acceptedAt', 'bodyHash', 'event', 'lines', 'seq'])
  })

  it('has a review without a decision, and a decision without a review', () => {
    const { decision, review, ...head } = decided
    if (decision === undefined || !review) throw new Error('a decided request has both')
    expect(bare(readRecord(writeRecord({ ...head, review })))).toStrictEqual({ ...head, review })
    expect(bare(readRecord(writeRecord({ ...head, decision })))).toStrictEqual({ ...head, decision })
  })

  it('has its review parsed only once somebody asks, and then once', () => {
    const lines = writeRecord(decided)
    const read = readRecord(lines)
    expect(read.review).toEqual(decided.review)
    expect(read.review).toBe(read.review)
    // What is not asked for is not looked at.
    const broken = readRecord(Buffer.from(withReview(lines)))
    expect([broken.seq, broken.decision]).toEqual([3, decided.decision])
    expect(() => broken.review).toThrow(SyntaxError)
  })

  it('leaves room before its lines for a frame\'s head, and writes the same after it', () => {
    const lines = writeRecord(decided)
    const framed = writeRecord(decided, 8)
    expect(framed.length).toBe(lines.length + 8)
    expect(framed.subarray(8).equals(lines)).toBe(true)
  })

  it('carries the lines it was read from, which are given out as they are; a frame gets a copy', () => {
    const lines = writeRecord(decided)
    const read = readRecord(lines)
    expect(read.lines).toBe(lines)
    expect(writeRecord(read)).toBe(lines)
    const framed = writeRecord(read, 8)
    expect(framed.subarray(8).equals(lines)).toBe(true)
    expect(framed.includes('"lines"')).toBe(false)
    framed.fill(0)
    expect(readRecord(lines).seq).toBe(3)
  })

  it('tells its position and event id without its other lines', () => {
    expect(readRecordHead(Buffer.from(withReview(writeRecord(decided))))).toEqual({ seq: 3, eventId: 'e-3' })
  })

  it.each(['', 'no JSON\n\n', '{"seq":1'])('%j is none', (text) => {
    expect(() => readRecord(Buffer.from(text))).toThrow(SyntaxError)
  })
})
