import { describe, expect, it } from 'vitest'
import type { FeatureValue } from '../../../src/domain/decision.js'
import { packRecord, Spill, type PackedLog } from '../../../src/domain/packed-log.js'
import { createCatalogue, emptyVector } from '../../../src/scoring/catalogue.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { flagBit, kindIndex, planVelocity, verbIndex } from '../../../src/scoring/plan.js'
import { computeWindows, type Readings } from '../../../src/scoring/windows.js'
import { named } from '../../support/features.js'

const { counters, problems } = parseCounters('golden.yaml', `
account:
  attempts: { of: booking.requested, as: attempts, measure: count, windows: [1s, 10s, 1m] }
  orders:   { of: booking.requested, as: orders, measure: count, windows: [10s] }
  scarce:   { of: booking.requested, as: attempts, where: [scarce, at_release], measure: count, windows: [10s] }
  patients: { of: booking.requested, as: attempts, measure: distinct patient, windows: [1s, 10s] }
  fees:     { of: booking.requested, as: orders, measure: sum fee_fen, windows: [1s, 10s] }
  last:     { of: booking.requested, as: attempts, measure: last }
  mean:     { of: booking.requested, as: attempts, measure: gap_mean, windows: [10s, 1m] }
  cv:       { of: booking.requested, as: attempts, measure: gap_cv, windows: [10s, 1m] }
  logins:   { of: account.logged_in, measure: count, windows: [10s] }
  verified: { of: verification.passed, measure: last }
`)
const catalogue = createCatalogue(counters)
const account = planVelocity(counters).entities[kindIndex('account')]
const [REQUESTED, LOGGED_IN, PASSED] = [verbIndex('booking.requested'), verbIndex('account.logged_in'), verbIndex('verification.passed')]
const [SUPERSEDED, SCARCE, AT_RELEASE] = [flagBit('superseded'), flagBit('scarce'), flagBit('at_release')]

/** The scored event is at T, with the id 1; all other times are seconds before it. */
const T = Date.UTC(2026, 10, 20, 7)
const OWN = 1

interface Past { ago: number; id?: number; patient?: number; feeFen?: number; flags?: number; verb?: number }

function readingsOf(past: readonly Past[], spill?: Spill): { features: Record<string, FeatureValue>; saturated: string[] } {
  const records = past.map(({ ago, id, patient = 0, feeFen = 0, flags = 0, verb = REQUESTED }, i) =>
    packRecord(verb, flags, T - ago * 1_000, 0, id ?? 100 + i, verb === REQUESTED ? [patient, feeFen] : []))
  records.sort((a, b) => (a[0] ?? 0) % 256 - (b[0] ?? 0) % 256 || (a[2] ?? 0) - (b[2] ?? 0))
  const words = Uint32Array.from(records.flat())
  const log: PackedLog = { words, from: 0, to: words.length, spills: spill && new Map([[REQUESTED, spill]]) }
  const out: Readings = { features: emptyVector(catalogue.size), saturated: [] }
  if (account) computeWindows(account, log, { t: T, id: { hi: 0, lo: OWN } }, out)
  return { features: named(out.features, catalogue), saturated: out.saturated }
}
const featuresOf = (past: readonly Past[]): Record<string, FeatureValue> => readingsOf(past).features

describe('the counters of these tests', () => {
  it('are declared without a problem', () => { expect(problems).toEqual([]) })
})

describe('a window (t - w, t]', () => {
  it('holds an event just inside its start and not one at its start', () => {
    expect(featuresOf([{ ago: 0.999 }])['account_attempts_1s']).toBe(1)
    expect(featuresOf([{ ago: 1 }])['account_attempts_1s']).toBe(0)
    expect(featuresOf([{ ago: 1 }])['account_attempts_10s']).toBe(1)
  })

  it('holds ties at its end and nothing after it', () => {
    expect(featuresOf([{ ago: 0, id: OWN }, { ago: 0 }, { ago: 0 }, { ago: -0.001 }])['account_attempts_1s']).toBe(3)
  })

  it('of another length counts the same log by itself', () => {
    const seen = featuresOf([{ ago: 0 }, { ago: 0.5 }, { ago: 9.999 }, { ago: 10 }, { ago: 59.999 }, { ago: 60 }])
    expect([seen['account_attempts_1s'], seen['account_attempts_10s'], seen['account_attempts_1m']]).toEqual([2, 3, 5])
  })

  it('reads only records of its own event type', () => {
    const seen = featuresOf([{ ago: 1, verb: LOGGED_IN }, { ago: 2, verb: LOGGED_IN }, { ago: 3 }, { ago: 4, verb: PASSED }])
    expect([seen['account_logins_10s'], seen['account_attempts_10s'], seen['account_verified_s']]).toEqual([2, 1, 4])
  })
})

describe('count, sum and distinct', () => {
  it('are 0 for an entity without records', () => {
    expect(featuresOf([])).toEqual({
      account_attempts_1s: 0, account_attempts_10s: 0, account_attempts_1m: 0, account_orders_10s: 0, account_scarce_10s: 0,
      account_patients_1s: 0, account_patients_10s: 0, account_fees_1s: 0, account_fees_10s: 0, account_logins_10s: 0,
    })
  })

  it('as orders leave out requests that were superseded, as attempts they do not', () => {
    const seen = featuresOf([{ ago: 0 }, { ago: 1, flags: SUPERSEDED }, { ago: 2, flags: SUPERSEDED | SCARCE }])
    expect([seen['account_orders_10s'], seen['account_attempts_10s']]).toEqual([1, 3])
  })

  it('want every flag that is asked for, and do not mind others', () => {
    expect(featuresOf([{ ago: 0, flags: SCARCE }, { ago: 1, flags: AT_RELEASE }, { ago: 2, flags: SCARCE | AT_RELEASE | SUPERSEDED }])['account_scarce_10s']).toBe(1)
  })

  it('count a value once, per window, and not a value that the event did not carry', () => {
    const seen = featuresOf([{ ago: 0, patient: 7 }, { ago: 0.5, patient: 7 }, { ago: 0.7 }, { ago: 3, patient: 8 }, { ago: 4, patient: 7 }])
    expect([seen['account_patients_1s'], seen['account_patients_10s']]).toEqual([1, 2])
  })

  it('sum fees in fen, of orders only', () => {
    const seen = featuresOf([{ ago: 0, feeFen: 5_000 }, { ago: 0.5, feeFen: 3_000, flags: SUPERSEDED }, { ago: 5, feeFen: 1_500 }, { ago: 6 }])
    expect([seen['account_fees_1s'], seen['account_fees_10s']]).toEqual([5_000, 6_500])
  })
})

describe('last', () => {
  it('is missing without an earlier event: the scored one itself is none', () => {
    expect(featuresOf([{ ago: 0, id: OWN }])['account_last_s']).toBeUndefined()
    expect(featuresOf([])['account_verified_s']).toBeUndefined()
  })

  it('is the seconds since the newest other event, 0 for a tie, however long ago', () => {
    expect(featuresOf([{ ago: 0, id: OWN }, { ago: 2.5 }, { ago: 9 }])['account_last_s']).toBe(2.5)
    expect(featuresOf([{ ago: 0, id: OWN }, { ago: 0, id: 2 }])['account_last_s']).toBe(0)
    expect(featuresOf([{ ago: 8_640_000 }])['account_last_s']).toBe(8_640_000)
  })

  it('does not see what came after', () => {
    expect(featuresOf([{ ago: -1 }, { ago: 3 }])['account_last_s']).toBe(3)
  })
})

describe('gaps', () => {
  it('have a mean as soon as there is one', () => {
    expect(featuresOf([{ ago: 0 }])['account_mean_10s']).toBeUndefined()
    expect(featuresOf([{ ago: 0 }, { ago: 4 }])['account_mean_10s']).toBe(4)
    expect(featuresOf([{ ago: 0 }, { ago: 1 }, { ago: 4 }, { ago: 20 }])).toMatchObject({ account_mean_10s: 2, account_mean_1m: 20 / 3 })
  })

  it('have a regularity from three on: 0 for a machine', () => {
    expect(featuresOf([{ ago: 0 }, { ago: 2 }, { ago: 4 }])['account_cv_10s']).toBeUndefined()
    expect(featuresOf([{ ago: 0 }, { ago: 2 }, { ago: 4 }, { ago: 6 }])['account_cv_10s']).toBe(0)
    // Gaps 1, 2, 3: mean 2, standard deviation sqrt(2/3).
    expect(featuresOf([{ ago: 0 }, { ago: 1 }, { ago: 3 }, { ago: 6 }])['account_cv_10s']).toBeCloseTo(Math.sqrt(2 / 3) / 2, 12)
  })

  it('have no regularity when all happened at one instant', () => {
    const seen = featuresOf([{ ago: 1 }, { ago: 1 }, { ago: 1 }, { ago: 1 }])
    expect([seen['account_mean_10s'], seen['account_cv_10s']]).toEqual([0, undefined])
  })
})

describe('a log that let records go', () => {
  const rings = account?.byVerb[REQUESTED]?.rings ?? []
  const spill = new Spill(rings)
  for (let i = 0; i < 50; i++) spill.add(Uint32Array.from(packRecord(REQUESTED, i < 10 ? SUPERSEDED : 0, T - 5_000, 0, i, [0, 100])), 0, 1)
  const { features, saturated } = readingsOf([{ ago: 0, patient: 7, feeFen: 1 }, { ago: 1, patient: 8, feeFen: 2 }], spill)

  it('adds their estimate to counts and sums whose window reaches them', () => {
    expect([features['account_attempts_1s'], features['account_attempts_10s'], features['account_attempts_1m']]).toEqual([1, 52, 52])
    expect([features['account_orders_10s'], features['account_fees_10s'], features['account_fees_1s']]).toEqual([42, 4_003, 1])
  })

  it('leaves the other measures a lower bound', () => {
    expect(features).toMatchObject({ account_patients_10s: 2, account_mean_10s: 1 })
  })

  it('names what is not exact: windows that reach it, but not a `last` that is still in the log', () => {
    expect(saturated).toEqual([
      'account_attempts_10s', 'account_attempts_1m', 'account_orders_10s', 'account_scarce_10s', 'account_patients_10s', 'account_fees_10s',
      'account_mean_10s', 'account_mean_1m', 'account_cv_10s', 'account_cv_1m',
    ])
  })

  it('is exact again when no window reaches what was let go', () => {
    const old = new Spill(rings)
    old.add(Uint32Array.from(packRecord(REQUESTED, 0, T - 60_000, 0, 1, [0, 0])), 0, 1)
    expect(readingsOf([{ ago: 0 }], old).saturated).toEqual([])
    expect(readingsOf([{ ago: 0 }], old).features['account_attempts_1m']).toBe(1)
  })
})
