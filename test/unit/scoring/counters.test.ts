import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createCatalogue, FIRST_COUNTER } from '../../../src/scoring/catalogue.js'
import { parseCounters, parseDuration } from '../../../src/scoring/counters.js'

const problemsOf = (text: string): string[] => parseCounters('c.yaml', text).problems.map((p) => `${p.line}: ${p.message}`)
const declared = (fields: string, entity = 'account'): string => `${entity}:\n  x: { ${fields} }\n`

describe('the counters file', () => {
  it('as shipped has no problems, and every feature a name of its own', () => {
    const { counters, problems } = parseCounters('counters.yaml', readFileSync('rules/counters.yaml', 'utf8'))
    expect(problems).toEqual([])
    expect(new Set(counters.map((c) => c.feature)).size).toBe(counters.length)
    expect(createCatalogue(counters).get('account_patients_24h')).toEqual({
      index: FIRST_COUNTER + counters.findIndex((c) => c.feature === 'account_patients_24h'), name: 'account_patients_24h', type: 'number', unit: '', meaning: 'distinct patient of booking.requested (orders) per account in 24h',
    })
  })

  it('names a feature after entity, counter and window, and `last` after its unit', () => {
    const { counters } = parseCounters('c.yaml', 'payer:\n  fee_fen: { of: booking.requested, as: orders, measure: sum fee_fen, windows: [1m, 24h] }\n  seen: { of: account.logged_in, measure: last }\n')
    expect(counters.map((c) => [c.feature, c.windowMs, c.unit])).toEqual([['payer_fee_fen_1m', 60_000, 'fen'], ['payer_fee_fen_24h', 86_400_000, 'fen'], ['payer_seen_s', undefined, 's']])
  })

  it('tells every problem at once, each with its line', () => {
    const text = 'nobody: {}\naccount:\n  a: { of: booking.dreamt, measure: count, windows: [1h] }\n  b: { of: booking.requested, measure: count, windows: [1h] }\n  c: { of: slot.queried, measure: distinct colour, windows: [0s], size: 3 }\n'
    expect(problemsOf(text)).toEqual([
      "1: unknown entity 'nobody'",
      '3: account.a: \'of\' is no event type: "booking.dreamt"',
      "4: account.b: requests need 'as': orders or attempts",
      "5: account.c: unknown field 'size'",
      '5: account.c: unknown measure "distinct colour"',
      "5: account.c: window '0s' is not between 1s and 90d",
    ])
  })

  it.each(['a"b', 'Visits', '7up', 'a b', 'a-b', '数'])('refuses %j for a name: it could not stand in a rule or a review as it is', (name) => {
    expect(problemsOf(`account:\n  ${JSON.stringify(name)}: { of: slot.queried, measure: count, windows: [1h] }`)).toEqual([`2: account.${name}: a name has small letters, digits and underscores only`])
  })

  it('refuses a broken file and one that is no map', () => {
    expect(problemsOf('a: [')).not.toEqual([])
    expect(problemsOf('- a')).toEqual(['1: a map of entities is expected'])
  })

  it.each([
    ['of: slot.queried, measure: count', "'windows' is missing"],
    ['of: slot.queried, measure: last, windows: [1h]', "'last' takes no windows"],
    ['of: slot.queried, measure: count, windows: [1h, 1h]', 'a window is named twice'],
    ['of: slot.queried, measure: count, windows: [91d]', "window '91d' is not between 1s and 90d"],
    ['of: slot.queried, measure: count, where: [red], windows: [1h]', 'unknown flag "red"'],
  ])('refuses { %s }', (fields, message) => {
    expect(problemsOf(declared(fields))).toEqual([`2: account.x: ${message}`])
  })

  it.each([
    ['of: slot.won_back, measure: count, windows: [1h]', 'doctor', "slot.won_back never carries 'doctor'"],
    ['of: slot.won_back, measure: distinct giver, windows: [1h]', 'account', "slot.won_back never carries 'giver'"],
    ['of: booking.paid, measure: count, windows: [1h]', 'pair', "booking.paid never carries 'pair'"],
    ['of: booking.expired, where: [by_patient], measure: count, windows: [1h]', 'account', "booking.expired never has the flag 'by_patient'"],
    ['of: slot.handed_over, where: [scarce], measure: count, windows: [1h]', 'account', "slot.handed_over never has the flag 'scarce'"],
    ['of: slot.handed_over, measure: sum fee_fen, windows: [1h]', 'account', 'slot.handed_over has no fee'],
  ])('refuses a counter that could never count anything: { %s } per %s', (fields, entity, message) => {
    expect(problemsOf(declared(fields, entity))).toEqual([`2: ${entity}.x: ${message}`])
  })
})

describe('a duration', () => {
  it('is a number of seconds, minutes, hours or days', () => {
    expect(['1s', '10m', '2h', '90d', '1w', '1.5h', '', 'h'].map(parseDuration)).toEqual([1_000, 600_000, 7_200_000, 7_776_000_000, undefined, undefined, undefined, undefined])
  })
})
