import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OUTCOMES } from '../../../src/domain/decision.js'
import type { EventLine } from '../../../src/learn/evaluate/input.js'
import { legit, measure, MINUTE_MS, order, scalper, SMALL, START, together, type Case } from './evaluate-cases.js'

describe('the figures of a small case', () => {
  it('count a booking once, however often it was asked', async () => {
    expect((await measure(SMALL)).bookings).toEqual({ total: 22, scalper: 15, legit: 7, requests: 25 })
  })

  it('are right for precision, recall, F1 and holds', async () => {
    const { interception, held } = await measure(SMALL)
    expect(interception).toMatchObject({
      true_positives: 7, false_positives: 1, false_negatives: 8, true_negatives: 6, f1: 14 / 23,
      precision: { count: 7, of: 8, value: 7 / 8 }, recall: { count: 7, of: 15, value: 7 / 15 }, by_cluster: { gangs: 4, innocents_by: 'order' },
    })
    expect(held).toMatchObject({ count: 3, of: 22 })
  })

  it('are right for each group of patients, friction beside it', async () => {
    const { innocents } = await measure(SMALL)
    expect(innocents).toMatchObject({ overall: { count: 1, of: 7 }, challenged: { count: 1, of: 7 }, delayed: 1, worst: null })
    expect(innocents.groups).toMatchObject([
      { group: 'family', intercepted: { count: 1, of: 4 }, delayed: 1, challenged: { count: 1, of: 4 }, too_few: true },
      { group: '(none)', intercepted: { count: 0, of: 1 }, delayed: 0, too_few: true }, { group: 'nat', intercepted: { count: 0, of: 2 }, delayed: 0, too_few: true },
    ])
  })

  it('are right for each tactic, overall and after the gang\'s first 10 requests', async () => {
    expect((await measure(SMALL)).tactics).toMatchObject([
      { tactic: 'T1', gangs: 2, overall: { count: 0, of: 2 }, after_first_10: { count: 0, of: 0, value: null }, too_few: true },
      { tactic: 'T4', gangs: 1, overall: { count: 7, of: 12 }, after_first_10: { count: 1, of: 2 }, too_few: true },
      { tactic: 'T6', gangs: 0, overall: { count: 0, of: 1 }, after_first_10: { of: 0 }, too_few: true },
    ])
  })

  it('say how long a gang goes on before it is first stopped, and that one never was', async () => {
    // G2 at its 1st request, G1 at its 4th after 3 minutes, G3 never: the median is the second of three, 90 % the third.
    expect((await measure(SMALL)).gangs).toEqual({ total: 3, stopped: 2, never: 1, requests: { median: 4, p90: null }, minutes: { median: 3, p90: null } })
  })

  it('keep what a published limit stopped apart', async () => {
    const { policy, by_basis } = await measure(SMALL)
    expect(policy).toEqual({ scalper: 1, legit: 1, codes: [{ code: 'LIMIT_DAY', scalper: 1, legit: 1 }] })
    expect(by_basis).toContainEqual({ basis: 'policy', outcome: 'deny', scalper: 1, legit: 1 })
    expect(by_basis).toContainEqual({ basis: 'risk', outcome: 'hold', scalper: 2, legit: 1 })
  })

  it('show outcomes by label, and how precise each reason code is', async () => {
    const { matrix, reasons } = await measure(SMALL)
    expect(matrix).toEqual({ scalper: { allow: 7, challenge: 0, throttle: 5, hold: 2, deny: 1 }, legit: { allow: 5, challenge: 0, throttle: 0, hold: 1, deny: 1 } })
    expect(reasons).toMatchObject([
      { code: 'SLOT_HANDOFF', scalper: 7, legit: 1, precision: { value: 7 / 8 } }, { code: 'LIMIT_DAY', scalper: 1, legit: 1, precision: { value: 0.5 } },
      { code: 'SLOT_WATCH', scalper: 0, legit: 1, precision: { value: 0 } },
    ])
  })

  it('stand beside the bars: missed, or not judged where there is too little', async () => {
    expect((await measure(SMALL)).verdicts).toMatchObject([
      { name: 'recall', met: false }, { name: 'tactic_after_10', value: null, met: null }, { name: 'precision', met: false },
      { name: 'innocents', met: false }, { name: 'worst_group', met: null },
    ])
  })
})

describe('an interception', () => {
  it.each([
    ['throttle', 1], ['hold', 1], ['deny', 1], ['deny/sanction', 1], ['deny/identity', 1], ['throttle/policy', 0], ['hold/policy', 0], ['deny/policy', 0], ['challenge', 0], ['allow', 0],
  ] as const)('%s: %d', async (said, count) => {
    expect((await measure(order('o', 0, [said], scalper('T1', 'G')))).interception.true_positives).toBe(count)
  })

  it('is that of the last request, whatever was answered before', async () => {
    const report = await measure(together(order('a', 0, ['allow', 'hold'], scalper('T1', 'G')), order('b', 0, ['hold', 'challenge'], scalper('T1', 'G'))))
    expect(report.interception).toMatchObject({ true_positives: 1, false_negatives: 1 })
  })
})

describe('the bar on tactics and groups', () => {
  const many = (prefix: string, count: number, stopped: number, label: ReturnType<typeof legit>): Case =>
    together(...Array.from({ length: count }, (_, i) => order(`${prefix}-${i}`, i, [i >= count - stopped ? 'hold' : 'allow'], label)))

  it('is on the worst one that has enough bookings', async () => {
    const { verdicts, innocents, tactics } = await measure(together(
      many('n', 50, 1, legit('nat')), many('f', 100, 3, legit('family')), many('k', 10, 1, legit('kiosk')),
      many('g', 20, 10, scalper('T1', 'G1')), many('h', 20, 4, scalper('T2', 'G2')), many('i', 19, 3, scalper('T3', 'G3')),
    ))
    expect(innocents.groups.map(({ group, too_few }) => [group, too_few])).toEqual([['family', false], ['nat', false], ['kiosk', true]])
    expect(tactics.map(({ after_first_10: { count, of }, too_few }) => [count, of, too_few])).toEqual([[10, 10, false], [4, 10, false], [3, 9, true]])
    expect(verdicts).toContainEqual(expect.objectContaining({ name: 'worst_group', value: 0.03, met: false, of: 'family' }))
    expect(verdicts).toContainEqual(expect.objectContaining({ name: 'tactic_after_10', value: 0.4, met: false, of: 'T2' }))
  })

  it('also judges a small group or tactic when it is beyond doubt, but never by one booking', async () => {
    const { innocents, tactics } = await measure(together(many('k', 10, 5, legit('kiosk')), many('f', 4, 1, legit('family')), many('g', 15, 0, scalper('T1', 'G'))))
    expect(innocents).toMatchObject({ worst: 'kiosk', groups: [{ group: 'kiosk', too_few: false }, { group: 'family', too_few: true }] })
    expect(tactics).toMatchObject([{ after_first_10: { count: 0, of: 5 }, too_few: false }])
  })

  it('counts a booking as after the first 10 only when none of its requests was among them', async () => {
    const { tactics } = await measure(together(many('g', 9, 0, scalper('T1', 'G')), order('x', 9, ['challenge', 'hold'], scalper('T1', 'G')), order('y', 20, ['hold'], scalper('T1', 'G'))))
    expect(tactics[0]?.after_first_10).toMatchObject({ count: 1, of: 1 })
  })
})

describe('the join', () => {
  it('counts a repeated line once, and says so', async () => {
    const report = await measure(together(SMALL, SMALL))
    const once = await measure(SMALL)
    expect(report.input).toMatchObject({ decisions: 50, duplicate_decisions: 25, labels: 50, duplicate_labels: 25, conflicting_decisions: { count: 0 } })
    expect({ ...report, input: 0 }).toEqual({ ...once, input: 0 })
  })

  it('leaves out an event with two different decisions or labels, and names it', async () => {
    const a = order('a', 0, ['hold'], scalper('T1', 'G'))
    const report = await measure(together(a, order('a', 0, ['allow'], scalper('T1', 'G')), order('b', 0, ['allow'], legit('nat')), { labels: order('b', 0, ['allow'], scalper()).labels, decisions: [] }))
    expect(report.input).toMatchObject({ conflicting_decisions: { count: 1, ids: ['a.1'] }, conflicting_labels: { count: 1, ids: ['b.1'] }, decisions_without_label: { count: 1, ids: ['b.1'] } })
    expect(report.bookings.total).toBe(0)
  })

  it('names labels without decision and decisions without label, five of them', async () => {
    const none = legit('nat')
    const labelled = together(...Array.from({ length: 7 }, (_, i) => order(`l${i}`, i, ['allow'], none)))
    const decided = together(...Array.from({ length: 6 }, (_, i) => order(`d${i}`, i, ['allow'], none)))
    const { input, bookings } = await measure({ labels: labelled.labels, decisions: decided.decisions })
    expect(input.labels_without_decision).toEqual({ count: 7, ids: ['l0.1', 'l1.1', 'l2.1', 'l3.1', 'l4.1'] })
    expect(input.decisions_without_label).toEqual({ count: 6, ids: ['d0.1', 'd1.1', 'd2.1', 'd3.1', 'd4.1'] })
    expect(bookings.total).toBe(0)
  })

  it('takes a request without a label with the others of its order', async () => {
    const a = order('a', 0, ['challenge', 'hold'], scalper('T1', 'G'))
    const report = await measure({ ...a, labels: a.labels.slice(0, 1) })
    expect(report.input).toMatchObject({ decisions_labelled_by_order: 1, decisions_without_label: { count: 0 } })
    expect(report.interception.true_positives).toBe(1)
  })

  it('leaves out an order whose requests are labelled differently', async () => {
    const a = order('a', 0, ['challenge', 'hold'], scalper('T1', 'G'))
    const report = await measure({ ...a, labels: a.labels.map((label, i) => i === 0 ? label : { ...label, gang: 'H' }) })
    expect(report.input.contradictory_orders).toEqual({ count: 1, ids: ['a'] })
    expect(report.bookings.total).toBe(0)
  })
})

describe('the slots', () => {
  const asked = (orderId: string, minute: number, slot: string, account = orderId): EventLine => ({ kind: 'requested', orderId, at: START + minute * MINUTE_MS, slot, account })
  const confirmed = (orderId: string): EventLine => ({ kind: 'confirmed', orderId })
  const stopped = (orderId: string): Case => order(orderId, 0, ['hold'], scalper('T1', 'G'))
  const city = together(stopped('s1'), stopped('s2'), stopped('s3'), stopped('s4'), order('p1', 5, ['allow'], legit()), order('p2', 5, ['hold'], legit()), order('p3', -5, ['allow'], legit()), stopped('s5'), order('p4', 6, ['allow'], legit()))
  const requests = [asked('s1', 0, 'A'), asked('s2', 0, 'B'), asked('s3', 0, 'C'), asked('s4', 0, 'C'), asked('p1', 5, 'A'), asked('p2', 5, 'C'), asked('p3', -5, 'C'), asked('s5', 0, 'D'), asked('p4', 6, 'D')]

  it('are followed from an intercepted scalper to the patient who took them', async () => {
    const { slots, input } = await measure({ ...city, events: [...requests, confirmed('s2'), confirmed('p1'), confirmed('p2'), confirmed('p3'), confirmed('p4'), { kind: 'other' }] })
    // A and D: given back and taken. B: confirmed all the same. C: given back; p2 was held and p3 came before.
    expect(slots).toEqual({ kept: 4, confirmed_all_the_same: 1, given_back: 3, taken_by_patients: 2 })
    expect(input.events).toBe(15)
  })

  it('count a booking that was let through as taken only where events tell of no confirmation at all', async () => {
    expect((await measure({ ...city, events: requests })).slots).toMatchObject({ kept: 4, given_back: 4, taken_by_patients: 2 })
    expect((await measure({ ...city, events: [...requests, confirmed('s2')] })).slots).toMatchObject({ taken_by_patients: 0 })
  })

  it('are not guessed without events', async () => {
    expect((await measure(city)).slots).toBeNull()
  })

  it('come with accounts, by which innocents stand or fall together', async () => {
    const falls = together(...Array.from({ length: 8 }, (_, i) => order(`p${i}`, 0, ['hold'], legit())), ...Array.from({ length: 20 }, (_, i) => order(`s${i}`, 0, ['hold'], scalper('T1', `G${i}`))))
    const events = (one: boolean): EventLine[] => falls.decisions.map(({ orderId }) => asked(orderId, 0, orderId, one ? 'same' : orderId))
    const [apart, same] = [await measure({ ...falls, events: events(false) }), await measure({ ...falls, events: events(true) })]
    expect(same.interception.by_cluster.innocents_by).toBe('account')
    expect(same.interception.by_cluster.precision?.low ?? 1).toBeLessThan(apart.interception.by_cluster.precision?.low ?? 0)
  })
})

describe('any labels and decisions', () => {
  const request = fc.constantFrom('allow', 'challenge', 'throttle', 'hold', 'deny', 'deny/policy', 'throttle/policy', 'deny/identity', 'hold/risk')
  const label = fc.oneof(
    fc.tuple(fc.constantFrom('T1', 'T2', undefined), fc.constantFrom('G1', 'G2', 'G3', undefined)).map(([tactic, gang]) => scalper(tactic, gang)),
    fc.constantFrom('family', 'nat', undefined).map(legit),
  )
  const bookings = fc.array(fc.record({ minute: fc.nat(5), said: fc.array(request, { minLength: 1, maxLength: 3 }), label, codes: fc.subarray(['A', 'B']) }), { maxLength: 40 })
    .map((orders) => together(...orders.map(({ minute, said, label: one, codes }, i) => order(`o${i}`, minute, said, one, codes))))

  it('give sums that agree', async () => {
    await fc.assert(fc.asyncProperty(bookings, async (one) => {
      const { bookings: count, interception: i, innocents, tactics, matrix, by_basis, policy, gangs } = await measure(one)
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
      expect(i.true_positives + i.false_negatives).toBe(count.scalper)
      expect(i.false_positives + i.true_negatives).toBe(count.legit)
      expect(count.scalper + count.legit).toBe(count.total)
      for (const kind of ['scalper', 'legit'] as const) {
        expect(sum(OUTCOMES.map((outcome) => matrix[kind][outcome]))).toBe(count[kind])
        expect(sum(by_basis.map((row) => row[kind]))).toBe(count[kind])
        const caught = kind === 'scalper' ? i.true_positives : i.false_positives
        expect(matrix[kind].throttle + matrix[kind].hold + matrix[kind].deny).toBe(caught + policy[kind])
      }
      expect([sum(tactics.map(({ overall }) => overall.of)), sum(tactics.map(({ overall }) => overall.count))]).toEqual([count.scalper, i.true_positives])
      expect([sum(innocents.groups.map(({ intercepted }) => intercepted.of)), sum(innocents.groups.map(({ intercepted }) => intercepted.count))]).toEqual([count.legit, i.false_positives])
      expect(sum(innocents.groups.map(({ delayed }) => delayed))).toBe(innocents.delayed)
      for (const { overall, after_first_10: after } of tactics) expect(after.of <= overall.of && after.count <= overall.count).toBe(true)
      expect(gangs.stopped + gangs.never).toBe(gangs.total)
    }), { numRuns: 60 })
  })

  it('mean the same in any order of lines', async () => {
    const shuffled = bookings.chain((one) => fc.tuple(fc.constant(one), fc.shuffledSubarray(one.labels, { minLength: one.labels.length }), fc.shuffledSubarray(one.decisions, { minLength: one.decisions.length })))
    await fc.assert(fc.asyncProperty(shuffled, async ([one, labels, decisions]) => {
      expect(await measure({ labels, decisions })).toEqual(await measure(one))
    }), { numRuns: 40 })
  })
})
