import { describe, expect, it } from 'vitest'
import type { PolicyPatch, StoredPolicy } from '../../../src/domain/policy.js'
import { checkPolicies, createPolicyBook } from '../../../src/scoring/policy.js'

const platform = `platform:
  enforcement: enforce
  thresholds: { challenge: 30, throttle: 50, hold: 70 }
  challengeKind: face
  hold: { for: 30m, onExpiry: confirm }
  throttle: { wait: 15s, spacing: 2s }
  degradedVelocity: allow
`
const local = `regions:
  east: { hospitals: [h-1, h-2], throttle: { wait: 30s }, challengeKind: sms }
hospitals:
  h-2: { challengeKind: captcha, hold: { onExpiry: return_to_pool } }
  h-3: { enforcement: observe }
`
const check = (...texts: string[]) => checkPolicies(texts.map((text, i) => ({ file: `${i}.yaml`, text })))
const book = (overrides: StoredPolicy[] = []) => {
  const { policies, problems } = check(platform, local)
  if (!policies) throw new Error(JSON.stringify(problems))
  return createPolicyBook(policies, overrides)
}
const stored = (hospitalId: string, patch: PolicyPatch): StoredPolicy => ({ hospitalId, patch, changedBy: 'lead', changedAt: 0, revision: 1 })

describe('a hospital\'s policy', () => {
  it('is the platform\'s where nothing else is said', () => {
    expect(book().of('h-9').policy).toEqual({
      enforcement: 'enforce', thresholds: { challenge: 30, throttle: 50, hold: 70 }, challengeKind: 'face', hold: { forMs: 1_800_000, onExpiry: 'confirm' },
      throttle: { waitMs: 15_000, spacingMs: 2_000 }, degradedVelocity: 'allow',
    })
  })
  it('inherits part by part: platform, region, hospital, what people set live', () => {
    const all = book([stored('h-2', { thresholds: { hold: 80 }, hold: { forMs: 600_000 } })])
    expect(all.of('h-1').policy).toMatchObject({ challengeKind: 'sms', throttle: { waitMs: 30_000, spacingMs: 2_000 } })
    expect(all.of('h-2').policy).toMatchObject({
      challengeKind: 'captcha', throttle: { waitMs: 30_000 }, thresholds: { challenge: 30, throttle: 50, hold: 80 }, hold: { forMs: 600_000, onExpiry: 'return_to_pool' },
    })
    expect(all.of('h-3').policy.enforcement).toBe('observe')
  })
  it('changes in a new book, and the old one stays as it was', () => {
    const before = book([stored('h-3', { challengeKind: 'sms' })])
    const after = before.withOverrides([stored('h-3', { enforcement: 'enforce' })])
    expect(after.of('h-3').policy).toMatchObject({ enforcement: 'enforce', challengeKind: 'face' })
    expect(before.of('h-3').policy).toMatchObject({ enforcement: 'observe', challengeKind: 'sms' })
  })
  it('has a version that follows its content only', () => {
    const all = book()
    expect(all.of('h-9').version).toMatch(/^[0-9a-f]{12}$/)
    expect(all.of('h-9').version).toBe(all.of('h-8').version)
    expect(all.of('h-1').version).not.toBe(all.of('h-9').version)
    expect(book([stored('h-9', { challengeKind: 'face' })]).of('h-9').version).toBe(all.of('h-9').version)
  })
  it('is looked up without new objects', () => {
    const all = book()
    expect(all.of('h-2')).toBe(all.of('h-2'))
    expect(all.of('no-such-1')).toBe(all.of('no-such-2'))
  })
})

describe('an override that a person sends', () => {
  const errors = (raw: unknown) => book().check('h-9', raw).errors
  it('comes back as a patch when it is sound', () => {
    expect(book().check('h-9', { enforcement: 'observe', thresholds: { hold: 101 } })).toEqual({ patch: { enforcement: 'observe', thresholds: { hold: 101 } }, errors: [] })
    expect(errors({})).toEqual([])
  })
  it.each([
    [{ enforcement: 'off' }, '/enforcement', /observe or enforce/],
    [{ enforcment: 'observe' }, '/enforcment', /unknown field/],
    [{ thresholds: { hold: 0 } }, '/thresholds/hold', /1 to 101/],
    [{ thresholds: { hold: 70.5 } }, '/thresholds/hold', /whole number/],
    [{ hold: { forMs: '30m' } }, '/hold/forMs', /milliseconds/],
    [{ hold: { onExpiry: 'drop' } }, '/hold/onExpiry', /confirm or return_to_pool/],
    [{ throttle: { waitMs: 1 } }, '/throttle/waitMs', /milliseconds/],
    [{ thresholds: { throttle: 20 } }, '/thresholds', /must rise/],
    [{ thresholds: { challenge: 60 } }, '/thresholds', /must rise/],
    ['observe', '', /./],
    [null, '', /./],
  ])('%j is refused with its place', (raw, path, message) => {
    const found = errors(raw)
    expect(found.some((e) => e.path === path && message.test(e.message)), JSON.stringify(found)).toBe(true)
  })
})

describe('policy files', () => {
  it.each([
    ['no platform', [local], /'platform' is needed/, 1],
    ['two platforms', [platform, platform], /found in 2/, 1],
    ['an incomplete platform', [platform.replace('  challengeKind: face\n', '')], /platform.challengeKind: is missing/, 2],
    ['a duration that is none', [platform.replace('30m', '30 minutes')], /platform.hold.for: expected milliseconds/, 5],
    ['thresholds out of order', [platform.replace('throttle: 50', 'throttle: 80')], /must rise/, 2],
    ['a hospital whose thresholds fall', [platform, 'hospitals:\n  h-1: { thresholds: { hold: 40 } }\n'], /hospitals.h-1: thresholds must rise/, 2],
    ['a region whose thresholds fall', [platform, 'regions:\n  east: { hospitals: [h-1], thresholds: { hold: 40 } }\n'], /regions.east: thresholds must rise/, 2],
    ['a hospital in two regions', [platform, local, 'regions:\n  west: { hospitals: [h-1] }\n'], /already in a region/, 2],
    ['a hospital in two files', [platform, local, 'hospitals:\n  h-3: { enforcement: enforce }\n'], /in two files/, 2],
    ['an unknown field', [platform, 'hospitals:\n  h-3:\n    enforce: yes\n'], /hospitals.h-3.enforce: unknown field/, 3],
    ['broken YAML', [platform, 'hospitals: {'], /./, 1],
  ])('with %s are refused', (_name, texts, message, line) => {
    const { policies, problems } = check(...texts)
    expect(policies).toBeUndefined()
    expect(problems.some((p) => message.test(p.message) && p.line === line), JSON.stringify(problems)).toBe(true)
  })
})
