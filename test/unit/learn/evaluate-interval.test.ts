import { describe, expect, it } from 'vitest'
import { barOf, fewestFor, judge } from '../../../src/learn/evaluate/bars.js'
import { clusterIntervals, rate, seeded, wilson, type GangCluster } from '../../../src/learn/evaluate/interval.js'

describe('the Wilson interval', () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  it.each([[81, 263, 0.2553, 0.3662], [15, 148, 0.0624, 0.1605], [0, 20, 0, 0.1611], [1, 29, 0.0061, 0.1718]])('of %i in %i is the published one', (count, of, low, high) => {
    expect(wilson(count, of).low).toBeCloseTo(low, 4)
    expect(wilson(count, of).high).toBeCloseTo(high, 4)
  })

  it('ends at 1 exactly when all were counted, and mirrors that of none', () => {
    expect(wilson(20, 20).high).toBe(1)
    expect(wilson(20, 20).low).toBeCloseTo(1 - wilson(0, 20).high, 12)
  })

  it('is nothing, rather than 0, where nothing was counted', () => {
    expect(rate(0, 0)).toEqual({ count: 0, of: 0, value: null, low: null, high: null })
  })
})

describe('the seeded numbers', () => {
  // mulberry32 with seed 42, as published with the algorithm.
  it('are the known ones', () => {
    const random = seeded(42)
    expect([random(), random(), random()].map((value) => value.toFixed(6))).toEqual(['0.601104', '0.448291', '0.852466'])
  })
})

describe('the interval by gang', () => {
  const gangs = (count: number, size: number): GangCluster[] => Array.from({ length: count }, (_, i) => ({ scalper: size, caught: i % 2 === 0 ? size : 0 }))

  it('is near the Wilson interval when every booking is a gang of its own', () => {
    const { recall } = clusterIntervals(gangs(200, 1), [])
    expect(recall?.low).toBeCloseTo(wilson(100, 200).low, 1)
    expect(recall?.high).toBeCloseTo(wilson(100, 200).high, 1)
  })

  it('is much wider when a gang stands or falls as a whole, and keeps the measured share inside', () => {
    const { recall } = clusterIntervals(gangs(10, 20), [])
    expect((recall?.high ?? 0) - (recall?.low ?? 1)).toBeGreaterThan(3 * (wilson(100, 200).high - wilson(100, 200).low))
    expect(recall?.low).toBeLessThan(0.5)
    expect(recall?.high).toBeGreaterThan(0.5)
  })

  it('moves precision with the innocents, and widens it when they fall together', () => {
    const [alone, together] = [clusterIntervals(gangs(100, 2), Array<number>(40).fill(1)), clusterIntervals(gangs(100, 2), [20, 20])]
    // 100 caught and 40 wrong: 0.714.
    for (const { precision } of [alone, together]) {
      expect(precision?.low).toBeLessThan(100 / 140)
      expect(precision?.high).toBeGreaterThan(100 / 140)
    }
    expect(together.precision?.low ?? 1).toBeLessThan((alone.precision?.low ?? 0) - 0.02)
  })

  it('is the same every time, and not there for fewer than two gangs', () => {
    expect(clusterIntervals(gangs(10, 3), [1, 2])).toEqual(clusterIntervals(gangs(10, 3), [1, 2]))
    expect(clusterIntervals(gangs(1, 50), [1])).toEqual({ precision: null, recall: null, f1: null })
  })
})

describe('the bars', () => {
  it.each([
    ['recall', 'rules', 0.7, true], ['recall', 'rules', 0.6999, false], ['recall', 'model', 0.9, true], ['recall', 'model', 0.8999, false],
    ['precision', 'rules', 0.9, true], ['precision', 'rules', 0.8999, false], ['precision', 'model', 0.95, true], ['precision', 'model', 0.9499, false],
    ['tactic_after_10', 'rules', 0.5, true], ['tactic_after_10', 'rules', 0.4999, false], ['tactic_after_10', 'model', 0.75, true], ['tactic_after_10', 'model', 0.7499, false],
    ['innocents', 'rules', 0.003, true], ['innocents', 'rules', 0.00301, false], ['innocents', 'model', 0.0015, true], ['innocents', 'model', 0.00151, false],
    ['worst_group', 'rules', 0.02, true], ['worst_group', 'rules', 0.0201, false], ['worst_group', 'model', 0.01, true], ['worst_group', 'model', 0.0101, false],
  ] as const)('of %s with %s: %d is %s', (name, stage, value, met) => {
    expect(judge(barOf(name, stage), value).met).toBe(met)
  })

  it('judge nothing that was not measured', () => {
    expect(judge(barOf('recall', 'rules'), null).met).toBeNull()
  })

  it.each([['worst_group', 'rules', 50], ['worst_group', 'model', 100], ['tactic_after_10', 'rules', 10], ['tactic_after_10', 'model', 10]] as const)('ask of %s with %s for %d bookings', (name, stage, fewest) => {
    expect(fewestFor(barOf(name, stage))).toBe(fewest)
  })
})
