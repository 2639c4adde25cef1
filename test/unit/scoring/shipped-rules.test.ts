import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { severity, type Features, type Outcome } from '../../../src/domain/decision.js'
import { createCatalogue, toVector } from '../../../src/scoring/catalogue.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { decide } from '../../../src/scoring/decide.js'
import { checkPolicies, createPolicyBook } from '../../../src/scoring/policy.js'
import { checkPacks } from '../../../src/scoring/rule-pack.js'
import { evaluate } from '../../../src/scoring/rules.js'

const read = (folder: string) => readdirSync(`rules/${folder}`).filter((f) => f.endsWith('.yaml')).map((f) => ({ file: f, text: readFileSync(`rules/${folder}/${f}`, 'utf8') }))
const countersText = readFileSync('rules/counters.yaml', 'utf8')
const { counters } = parseCounters('rules/counters.yaml', countersText)
const catalogue = createCatalogue(counters)
const { packs, problems } = checkPacks(read('packs'), catalogue, countersText)
const { policies, problems: policyProblems } = checkPolicies(read('policies'))

function outcomeFor(features: Features): { outcome: Outcome; codes: string[]; score: number } {
  if (!packs || !policies) throw new Error('the shipped rules do not load')
  const { hits, ruleScore, errors } = evaluate(packs, toVector(features, catalogue))
  expect(errors).toEqual([])
  const { policy } = createPolicyBook(policies, []).of('h-007')
  const verdict = decide({ hits, ruleScore, modelScore: null, settled: false, policy, messages: packs.messages, served: false, verified: false, degradedVelocity: false })
  return { outcome: verdict.outcome, codes: verdict.reasons.map((r) => r.code), score: ruleScore }
}

/** A quiet booking: an old account, the own long-known patient, human timing, every counter at what this one booking makes it. */
const quiet: Features = {
  ...Object.fromEntries(counters.filter((c) => c.measure.kind === 'count' || c.measure.kind === 'distinct')
    .map((c) => [c.feature, c.verb === 'booking.requested' && !c.where.includes('before_release') ? 1 : 0])),
  channel_kind: 'mini_program', clinic: 'expert', relation: 'self', fee_fen: 5000, lead_h: 168, since_release_ms: 26_000, session_s: 55, page_views: 4,
  captcha_ms: 2300, account_age_h: 24_000, bound_for_s: 80_000_000, emulator: false, rooted: false, proxy: false, datacenter: false,
  id_type: '01', id_possible: true, id_checksum_valid: true, id_sex_agrees: true, id_birth_agrees: true, name_valid: true, phone_valid: true,
  phone_virtual: false, age: 38, sex: 'M', fits_sex_limit: true, fits_age_limit: true, order_attempt: 1, order_confirmed: false, slot_hands: 0, slot_returns: 0,
}
const own = (changes: Features): Features => ({ ...quiet, ...changes })
const without = (features: Features, prefixes: readonly string[]): Features =>
  Object.fromEntries(Object.entries(features).filter(([name]) => !prefixes.some((p) => name.startsWith(p))))

describe('the shipped rules and policies', () => {
  it('load without a problem', () => {
    expect(problems).toEqual([])
    expect(policyProblems).toEqual([])
    expect(packs?.active.length).toBeGreaterThan(40)
  })

  it('name only families whose cap lets them do what their file says', () => {
    const lone = [...packs?.caps ?? []].filter(([, cap]) => cap >= 50).map(([family]) => family).sort()
    expect(lone).toEqual(['breadth', 'handoff', 'insider', 'links'])
    // What a helper of many shares, each on its own and in pairs below a check, all three below an interception.
    const [binding = 0, payer = 0, device = 0] = ['binding', 'payer', 'device'].map((family) => packs?.caps.get(family))
    expect(Math.max(binding + payer, payer + device, device + binding)).toBeLessThan(30)
    expect(binding + payer + device).toBeLessThan(50)
  })

  it('deny only an identity that cannot exist', () => {
    expect(packs?.rules.filter((r) => r.outcome === 'deny').map((r) => r.when)).toEqual(['id_possible == false'])
  })
})

/** First bot of a morning: virtual phone, account of 29 h, bound 110 s ago, 310 ms after release. */
const bot = own({
  relation: 'self', since_release_ms: 310, session_s: 10.31, page_views: 1, captcha_ms: 310, account_age_h: 29, bound_for_s: 110.3, phone_virtual: true,
})
const firstHandOff = own({
  relation: 'other', since_release_ms: 7_922_400, session_s: 1.9, page_views: 1, captcha_ms: 330, account_age_h: 57.2, bound_for_s: 32.4, slot_hands: 1, slot_returns: 1,
  rerelease_gap_s: 2.2, handoff_gap_s: 2.4, handoff_cross_channel: false, handoff_same_patient: false, handoff_shares_account: false, handoff_shares_device: true,
  handoff_shares_payer: true, handoff_shares_phone: false, handoff_shared: 2, account_binds_24h: 1, account_handoffs_24h: 1, payer_handoffs_30d: 1,
  device_handoffs_30d: 1, payer_patients_24h: 4, payer_accounts_24h: 4, device_accounts_24h: 2, account_wins_24h: 1, account_givers_30d: 1, pair_handoffs_30d: 1,
})

describe('one expert\'s morning', () => {
  const expected: [string, Features, Outcome[]][] = [
    ['the first bot, which has done nothing yet', bot, ['allow', 'challenge', 'throttle']],
    ['the second bot with the next ID number and the same payer', { ...bot, payer_patients_24h: 2, payer_accounts_24h: 2, payer_devices_24h: 2, id_prefix_patients_24h: 2, id_prefix_accounts_24h: 2 }, ['throttle', 'hold']],
    ['the third bot', { ...bot, payer_patients_24h: 3, payer_accounts_24h: 3, payer_devices_24h: 3, id_prefix_patients_24h: 3, id_prefix_accounts_24h: 3 }, ['throttle', 'hold']],
    ['a man who books for himself in the first half minute', quiet, ['allow']],
    ['and then for his mother', own({ relation: 'parent', account_patients_24h: 2, account_orders_24h: 2, payer_patients_24h: 2, device_patients_24h: 2 }), ['allow']],
    ['a stranger who takes a return 38 s after it came back', own({
      rerelease_gap_s: 38.2, handoff_gap_s: 2558, handoff_same_patient: false, handoff_shares_account: false, handoff_shares_device: false, handoff_shares_payer: false,
      handoff_shares_phone: false, handoff_shared: 0, handoff_cross_channel: false, account_wins_24h: 1, account_givers_30d: 1, slot_returns: 1, slot_hands: 1,
    }), ['allow']],
    ['the first hand-off', firstHandOff, ['challenge', 'throttle', 'hold']],
    ['the second hand-off', { ...firstHandOff, account_handoffs_24h: 2, payer_handoffs_30d: 2, device_handoffs_30d: 2, account_binds_24h: 2, account_givers_30d: 2 }, ['throttle', 'hold']],
    ['the third hand-off', { ...firstHandOff, account_handoffs_24h: 3, payer_handoffs_30d: 3, device_handoffs_30d: 3, account_binds_24h: 3, account_givers_30d: 3 }, ['throttle', 'hold']],
  ]
  it.each(expected)('%s is decided as a sensible policy would', (_name, features, outcomes) => {
    expect(outcomes).toContain(outcomeFor(features).outcome)
  })

  it('stops the repeated hand-off for changing hands, whatever the session looked like', () => {
    const handsOnly = without({ ...firstHandOff, account_handoffs_24h: 2, payer_handoffs_30d: 2 }, ['session_s', 'page_views', 'captcha_ms', 'account_age_h', 'device_'])
    expect(outcomeFor(handsOnly)).toMatchObject({ outcome: 'hold', codes: expect.arrayContaining(['SLOT_HANDOFF', 'REPEATED_HANDOFF']) as unknown })
  })
})

describe('each tactic is intercepted by what it leaves in combination', () => {
  const tactics: [string, Features, string][] = [
    ['T1 protocol bot', own({ since_release_ms: 20, session_s: 0.4, page_views: 0, captcha_ms: 120, account_age_h: 12, bound_for_s: 90, phone_virtual: true, name_valid: false }), 'FAST_SUBMIT'],
    ['T2 clicker on a farm of accounts', own({ page_views: 1, session_s: 1.2, account_attempts_1m: 20, account_attempts_10m: 20, account_attempt_gap_1h: 0.02, device_attempts_1m: 20, device_accounts_24h: 5, device_patients_24h: 9 }), 'FREQUENT_REQUESTS'],
    ['T3 generated IDs', own({ page_views: 1, since_release_ms: 400, session_s: 3, account_age_h: 40, bound_for_s: 600, phone_virtual: true, id_prefix_patients_24h: 4 }), 'ID_SERIES'],
    ['T4 hand-off', firstHandOff, 'SLOT_HANDOFF'],
    ['T4 hand-off within one account', { ...firstHandOff, handoff_shares_account: true, handoff_shared: 3, account_handoffs_24h: 2 }, 'REPEATED_HANDOFF'],
    ['T4 hand-off after a random delay of the return', { ...firstHandOff, handoff_gap_s: 5400, rerelease_gap_s: 1.6 }, 'SLOT_HANDOFF'],
    ['T4 cancel in the app, rebook by phone', without({ ...firstHandOff, channel_kind: 'phone', handoff_cross_channel: true, handoff_shared: 1, payer_handoffs_30d: 2 },
      ['account_', 'device_', 'handoff_shares_account', 'handoff_shares_device', 'session_', 'page_', 'captcha_']), 'SLOT_HANDOFF'],
    ['T7 late binding', own({ relation: 'other', bound_for_s: 40, account_binds_24h: 5, account_unbinds_30d: 9, account_patients_30d: 12, page_views: 1, session_s: 1.4, captcha_ms: 420 }), 'BINDING_CHURN'],
    ['T8 one payer', own({ payer_patients_24h: 12, payer_accounts_24h: 9, payer_devices_24h: 9, payer_devices_30d: 9, payer_patients_30d: 40, payer_accounts_30d: 25, captcha_ms: 350, page_views: 1, session_s: 3, since_release_ms: 350 }), 'PAYER_MANY_PATIENTS'],
    ['T15 breadth over many accounts', own({ patient_departments_40d: 11, patient_accounts_30d: 6 }), 'MANY_DEPARTMENTS'],
    ['T11 a seat before release', own({ channel_kind: 'phone', since_release_ms: -60_000, seat_before_release_30d: 4 }), 'BEFORE_RELEASE'],
  ]
  it.each(tactics)('%s', (_name, features, code) => {
    const { outcome, codes } = outcomeFor(features)
    expect(severity(outcome)).toBeGreaterThanOrEqual(severity('throttle'))
    expect(codes).toContain(code)
  })
})

const family = { handoff_same_patient: false, handoff_shares_account: true, handoff_shares_device: true, handoff_shares_payer: true, handoff_shares_phone: true, handoff_shared: 4, handoff_cross_channel: false }

describe('innocent look-alikes are left alone', () => {
  const innocents: [string, Features][] = [
    ['a family helper with four patients', own({ relation: 'parent', account_patients_30d: 4, account_patients_24h: 3, device_patients_24h: 3, payer_patients_24h: 3 })],
    ['an adult child far away who books for both parents', own({ relation: 'parent', account_patients_24h: 2, payer_patients_24h: 2, account_ip_prefixes_7d: 3 })],
    ['a child without an ID', without(own({ id_type: '99', relation: 'child', age: 1 }), ['id_possible', 'id_checksum', 'id_sex', 'id_birth', 'id_prefix'])],
    ['a village clinic that books for dozens of elders on one device', own({
      relation: 'helper', account_patients_24h: 15, account_patients_30d: 60, device_patients_24h: 15, device_patients_30d: 60, phone_patients_30d: 60, payer_patients_24h: 9,
      payer_patients_30d: 40, device_verified_patients_30d: 30,
    })],
    ['the same clinic when one elder gives a slot to another', own({
      ...family, relation: 'helper', handoff_gap_s: 40, account_patients_24h: 15, device_patients_24h: 15, account_handoffs_24h: 3, device_handoffs_30d: 6, payer_handoffs_30d: 6, account_handoffs_30d: 6,
    })],
    ['a caller to the call centre', without(own({ channel_kind: 'phone', seat_orders_24h: 150, seat_scarce_24h: 40, seat_attempts_10m: 9 }),
      ['account_', 'device_', 'ip_', 'session_s', 'page_views', 'captcha_ms', 'emulator', 'rooted', 'proxy', 'datacenter', 'bound_for_s'])],
    ['a person at a hospital kiosk', without(own({ channel_kind: 'kiosk', device_accounts_24h: 80, device_accounts_30d: 900, device_patients_24h: 80, device_attempts_1m: 9, page_views: 1, session_s: 20 }), ['account_', 'bound_for_s', 'captcha_ms'])],
    ['a patient behind carrier NAT', own({ ip_patients_1h: 300, ip_patients_24h: 2000, ip_attempts_1s: 40, ip_accounts_1h: 300, ip_devices_1h: 300, ip_prefix_patients_10m: 800, ip_prefix_devices_10m: 800 })],
    ['a dialysis patient with many visits', own({ patient_orders_30d: 13, patient_orders_90d: 39, patient_departments_40d: 3, patient_attended_90d: 38 })],
    ['a patient with six ailments', own({ patient_departments_40d: 6, patient_hospitals_40d: 3 })],
    ['a person with autofill in the crowd of the release second', own({ since_release_ms: 650, session_s: 2.6, page_views: 1, captcha_ms: 1100, schedule_attempts_1s: 400, doctor_attempts_1m: 900 })],
    ['the same person on a VPN with a rooted phone', own({ since_release_ms: 650, session_s: 2.6, page_views: 1, captcha_ms: 1100, proxy: true, rooted: true })],
    ['somebody disappointed who tries five times in the release minute', own({ account_attempts_1m: 5, account_attempts_10m: 5, account_attempt_gap_1h: 0.7, device_attempts_1m: 5 })],
    ['a patient whose doctor stopped six sessions', own({ account_cancels_30d: 0, patient_orders_30d: 8 })],
    ['a newcomer who registers, binds and books within minutes', own({ account_age_h: 0.1, bound_for_s: 120, account_binds_24h: 1, since_release_ms: 3000 })],
    ['a newcomer with a virtual operator\'s number', own({ account_age_h: 0.1, bound_for_s: 120, phone_virtual: true })],
    ['a newcomer who adds the whole family', own({ account_age_h: 0.3, bound_for_s: 60, account_binds_24h: 4, account_binds_1h: 4, relation: 'child' })],
    ['a friend bound minutes before the booking', own({ relation: 'other', bound_for_s: 200, account_binds_24h: 1 })],
    ['somebody whose employer pays for dozens of strangers', own({ payer_patients_24h: 12, payer_accounts_24h: 12, payer_devices_24h: 12, payer_devices_30d: 90, payer_patients_30d: 90, payer_accounts_30d: 90 })],
    ['a newcomer whose insurer pays', own({ account_age_h: 0.2, bound_for_s: 100, payer_patients_24h: 30, payer_accounts_24h: 30, payer_devices_24h: 30, payer_doctors_24h: 22 })],
    ['a watcher by hand who wins a return within two seconds', own({
      rerelease_gap_s: 1.7, handoff_gap_s: 1.8, handoff_same_patient: false, handoff_shares_account: false, handoff_shared: 0, account_queries_1h: 70, account_query_cv_1h: 0.9,
      account_query_gap_1h: 40, account_wins_24h: 1, account_givers_30d: 1,
    })],
    ['a family that cancels for one member and rebooks for another', own({ ...family, handoff_gap_s: 45, account_handoffs_24h: 1, device_handoffs_30d: 1, payer_handoffs_30d: 1 })],
    ['the same family a second time that day, in a hurry', own({ ...family, handoff_gap_s: 8, account_handoffs_24h: 2, device_handoffs_30d: 2, payer_handoffs_30d: 2 })],
    ['a couple with an account each and one payer', own({ ...family, handoff_shares_account: false, handoff_gap_s: 90, account_handoffs_24h: 1, payer_handoffs_30d: 1, pair_handoffs_30d: 1 })],
    ['a patient who cancels and takes the own slot again', own({ ...family, handoff_same_patient: true, handoff_gap_s: 4 })],
    ['twins', own({ id_prefix_patients_24h: 2, account_patients_24h: 2 })],
    ['somebody who mistyped the birth date', own({ id_birth_agrees: false })],
  ]
  it.each(innocents)('%s', (_name, features) => {
    expect(outcomeFor(features)).toMatchObject({ outcome: 'allow', codes: [] })
  })

  it('a paid companion who books for many strangers is asked for a check at most', () => {
    const companion = own({ relation: 'helper', bound_for_s: 300, account_binds_24h: 5, account_unbinds_30d: 12, account_patients_30d: 20, account_doctors_30d: 14, account_attended_90d: 18, device_patients_24h: 5, payer_patients_24h: 5, payer_patients_30d: 20 })
    expect(severity(outcomeFor(companion).outcome)).toBeLessThanOrEqual(severity('challenge'))
  })

  it.each([
    ['speed', { since_release_ms: 5, session_s: 0.2, page_views: 0, captcha_ms: 50, account_attempts_1m: 90, device_attempts_1m: 90 }],
    ['a new account', { account_age_h: 0.01 }],
    ['a late binding', { bound_for_s: 1, relation: 'other', account_binds_24h: 9, account_unbinds_30d: 9, account_patients_30d: 30, account_doctors_30d: 17 }],
    ['one payer', { payer_patients_24h: 90, payer_accounts_24h: 90, payer_devices_24h: 90, payer_devices_30d: 90, payer_patients_30d: 90, payer_accounts_30d: 90, payer_orders_24h: 90 }],
    ['cancelling', { account_cancels_30d: 30, patient_cancels_48h: 20, device_cancels_30d: 30, payer_cancels_30d: 30 }],
    ['an address', { ip_attempts_1s: 500, ip_patients_1h: 5000, ip_prefix_patients_10m: 5000, proxy: true, datacenter: true }],
  ])('%s alone never stops a booking', (_name, changes) => {
    expect(severity(outcomeFor(own(changes)).outcome)).toBeLessThanOrEqual(severity('challenge'))
  })

  it('a booking of which next to nothing is known is allowed', () => {
    expect(outcomeFor({ channel_kind: 'window' }).outcome).toBe('allow')
  })
})
