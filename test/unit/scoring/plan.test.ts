import { describe, expect, it } from 'vitest'
import { createCatalogue } from '../../../src/scoring/catalogue.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { dimensionIndex, flagBit, kindIndex, layoutOf, ORDER_CAP, planVelocity, SLOT_CAP, ENTITY_CAP, verbIndex } from '../../../src/scoring/plan.js'

const { counters } = parseCounters('c.yaml', `
account:
  phones:   { of: booking.requested, as: orders, measure: distinct phone, windows: [30d, 24h] }
  attempts: { of: booking.requested, as: attempts, measure: count, windows: [1m] }
  fees:     { of: booking.requested, as: orders, where: [scarce], measure: sum fee_fen, windows: [24h] }
  seen:     { of: account.logged_in, measure: last }
`)
const plan = planVelocity(counters)
const account = plan.entities[kindIndex('account')]

describe('the plan of an entity', () => {
  it('has its verbs in the order of the log', () => {
    expect(account?.verbs.map((v) => v.verb)).toEqual([verbIndex('account.logged_in'), verbIndex('booking.requested')])
    expect(account?.byVerb[verbIndex('booking.requested')]).toBe(account?.verbs[1])
  })

  it('keeps only the columns that a counter reads, the fee last', () => {
    const requested = account?.verbs[1]
    expect([requested?.columns, requested?.fee]).toEqual([[dimensionIndex('phone')], true])
    expect(requested?.gauges.map((g) => g.column)).toEqual([5, 0, 6])
  })

  it('computes counters that differ only in their windows in one pass, shortest first', () => {
    expect(account?.verbs[1]?.gauges[0]?.windows.map((w) => w.feature)).toEqual(['account_phones_24h', 'account_phones_30d'])
  })

  it('tests the flags a counter asks for, and that an order was not superseded', () => {
    const gauges = account?.verbs[1]?.gauges.map((g) => [g.mask, g.tested])
    expect(gauges).toEqual([[0, flagBit('superseded')], [0, 0], [flagBit('scarce'), flagBit('scarce') | flagBit('superseded')]])
  })

  it('goes on counting what a full log lets go for counts and sums only', () => {
    const requested = account?.verbs[1]
    expect(requested?.rings.map((r) => [r.windowMs, r.column])).toEqual([[60_000, 0], [86_400_000, 6]])
    expect(requested?.gauges.map((g) => g.windows.map((w) => w.ring))).toEqual([[-1, -1], [0], [1]])
  })
})

describe('the features', () => {
  it('stand in a vector where the catalogue says, and nowhere twice', () => {
    const windows = plan.entities.flatMap((e) => e.verbs.flatMap((v) => v.gauges.flatMap((g) => g.windows)))
    const catalogue = createCatalogue(counters)
    expect(windows.map((w) => [w.feature, w.index]).sort()).toEqual(counters.map((c) => [c.feature, catalogue.get(c.feature)?.index]).sort())
    expect(plan.features).toBe(catalogue.size)
  })

  it('that are 0 for what never happened are counts and sums, not what needs a record to be known', () => {
    expect(account?.verbs.map((v) => v.zeros)).toEqual([[], account?.verbs[1]?.gauges.flatMap((g) => g.windows.map((w) => w.index))])
  })
})

describe('the layout of the store', () => {
  const layout = layoutOf(planVelocity(counters))

  it('says how much is kept of each kind of log', () => {
    expect(['account', 'order', 'slot', 'queue'].map((kind) => layout.cap(kindIndex(kind as 'account'), 0))).toEqual([ENTITY_CAP, ORDER_CAP, SLOT_CAP, 1])
    expect(layout.rings(kindIndex('slot'), 0)).toEqual([])
  })

  it('has another version when the bytes mean something else, and the same for the same counters', () => {
    expect(layoutOf(planVelocity(counters)).version).toBe(layout.version)
    expect(layoutOf(planVelocity(counters.slice(2))).version).not.toBe(layout.version)
  })
})

describe('flags', () => {
  it('are bits of their own within 16', () => {
    const bits = (['by_patient', 'linked', 'scarce', 'at_release', 'before_release', 'superseded'] as const).map(flagBit)
    expect(new Set(bits).size).toBe(6)
    expect(bits.reduce((a, b) => a | b)).toBeLessThan(1 << 15)
  })
})
