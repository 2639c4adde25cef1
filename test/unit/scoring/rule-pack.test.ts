import { describe, expect, it } from 'vitest'
import { createCatalogue } from '../../../src/scoring/catalogue.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { checkPacks } from '../../../src/scoring/rule-pack.js'

const catalogue = createCatalogue([])
const pack = `family: speed
cap: 40
rules:
  - id: quick-captcha
    code: FAST_SUBMIT
    message: { zh: 请验证身份, en: Please verify your identity }
    mode: live
    weight: 20
    when: captcha_ms < 600
    examples:
      hit: [{ captcha_ms: 310 }]
      miss: [{ captcha_ms: 900 }, {}]
`
const check = (...texts: string[]) => checkPacks(texts.map((text, i) => ({ file: `p${i}.yaml`, text })), catalogue, 'patient: {}')
const changed = (from: string, to: string) => check(pack.replace(from, to)).problems
const second = pack.replace('family: speed', 'family: other').replace('id: quick-captcha', 'id: other-captcha')

describe('a rule pack', () => {
  it('becomes a rule set', () => {
    const { packs, problems } = check(pack)
    expect(problems).toEqual([])
    expect(packs?.rules).toMatchObject([{ id: 'quick-captcha', family: 'speed', code: 'FAST_SUBMIT', mode: 'live', weight: 20, when: 'captcha_ms < 600' }])
    expect(packs?.caps.get('speed')).toBe(40)
    expect(packs?.messages.get('FAST_SUBMIT')).toEqual({ zh: '请验证身份', en: 'Please verify your identity' })
  })

  it('knows which rules look at what others were suspected of', () => {
    const { counters } = parseCounters('c.yaml', 'payer:\n  suspects: { of: booking.suspected, measure: distinct patient, windows: [30d] }\n')
    const borrowing = second.replace('when: captcha_ms < 600', 'when: captcha_ms < 600 || payer_suspects_30d > 2')
    const { packs, problems } = checkPacks([{ file: 'a.yaml', text: pack }, { file: 'b.yaml', text: borrowing }], createCatalogue(counters), 'payer: {}')
    expect(problems).toEqual([])
    expect(packs?.rules.map((r) => [r.id, r.borrowed])).toEqual([['quick-captcha', undefined], ['other-captcha', true]])
  })

  it('keeps a rule that is off but does not run it', () => {
    const { packs } = check(pack.replace('mode: live', 'mode: off'))
    expect([packs?.rules.length, packs?.active.length]).toEqual([1, 0])
  })

  it.each([
    ['an unknown field', 'weight: 20', 'weight: 20\n    wieght: 3', 9, /wieght: unknown field/],
    ['a missing field', '    mode: live\n', '', 4, /mode: is missing/],
    ['a wrong mode', 'mode: live', 'mode: maybe', 7, /expected live, shadow, off/],
    ['a weight of 0', 'weight: 20', 'weight: 0', 8, /whole number from 1 to 100/],
    ['a weight of 101', 'weight: 20', 'weight: 101', 8, /whole number from 1 to 100/],
    ['neither weight nor outcome', '    weight: 20\n', '', 4, /weight or an outcome/],
    ['both weight and outcome', 'weight: 20', 'weight: 20\n    outcome: hold', 9, /weight or an outcome/],
    ['a denial for risk', 'weight: 20', 'outcome: deny', 8, /deny goes with basis identity or policy/],
    ['an identity that only holds', 'weight: 20', 'outcome: hold\n    basis: identity', 8, /deny goes with/],
    ['a limit without its prefix', 'weight: 20', 'outcome: deny\n    basis: policy', 5, /LIMIT_/],
    ['a missing translation', 'zh: 请验证身份, ', '', 6, /message.zh: is missing/],
    ['an untranslated text', '请验证身份', 'Please verify', 6, /not in Chinese/],
    ['a message with a threshold', '请验证身份', '请在30分钟后再试', 6, /no thresholds/],
    ['a message that accuses', 'Please verify your identity', 'You are a scalper', 6, /accuses/],
    ['an unknown feature', 'captcha_ms < 600', 'captcha_m < 600', 9, /did you mean 'captcha_ms'/],
    ['a condition that is no condition', 'captcha_ms < 600', 'captcha_ms', 9, /must be bool/],
    ['a contradiction', 'captcha_ms < 600', 'captcha_ms < 600 && captcha_ms > 700', 9, /can never hit/],
    ['an example with an unknown feature', 'hit: [{ captcha_ms: 310 }]', 'hit: [{ captcha_sm: 310 }]', 11, /unknown feature 'captcha_sm'/],
    ['an example of a wrong type', 'hit: [{ captcha_ms: 310 }]', 'hit: [{ captcha_ms: "310" }]', 11, /captcha_ms is a number/],
    ['a hit example that does not hit', 'hit: [{ captcha_ms: 310 }]', 'hit: [{ captcha_ms: 610 }]', 11, /does not hit/],
    ['a miss example that hits', 'captcha_ms: 900', 'captcha_ms: 90', 12, /this example hits/],
    ['no miss example', 'miss: [{ captcha_ms: 900 }, {}]', 'miss: []', 12, /at least one example/],
    ['no hit example', 'hit: [{ captcha_ms: 310 }]', 'hit: []', 11, /at least one example/],
    ['broken YAML', 'mode: live', 'mode: [live', 8, /./],
    ['a cap of 0', 'cap: 40', 'cap: 0', 2, /cap: expected a whole number/],
  ])('with %s is refused, with its line', (_name, from, to, line, message) => {
    const problems = changed(from, to)
    expect(problems.map((p) => p.file)).toContain('p0.yaml')
    expect(problems.some((p) => p.line === line && message.test(p.message)), JSON.stringify(problems)).toBe(true)
  })

  it('is refused with all its problems at once', () => {
    const many = `${pack}  - id: Bad Id\n    mode: live\n  - 7\n`.replace('captcha_ms < 600', 'captcha < 600').replace('weight: 20', 'weight: 200')
    const problems = check(many, second.replace('captcha_ms < 600', 'age >')).problems
    expect(new Set(problems.map((p) => p.file))).toEqual(new Set(['p0.yaml', 'p1.yaml']))
    expect(problems.length).toBeGreaterThanOrEqual(6)
  })

  it('may share a reason code with another only when both say the same', () => {
    expect(check(pack, second).problems).toEqual([])
    const [problem] = check(pack, second.replace('Please verify', 'Kindly verify')).problems
    expect(problem).toMatchObject({ file: 'p1.yaml', line: 6 })
    expect(problem?.message).toMatch(/says something else/)
  })

  it('may not repeat an id or a family', () => {
    expect(check(pack, second.replace('other-captcha', 'quick-captcha')).problems[0]?.message).toMatch(/used twice/)
    expect(check(pack, second.replace('family: other', 'family: speed')).problems[0]?.message).toMatch(/already in another file/)
  })

  it.each(['', '[]', '7', 'a: &a [x]\nb: [*a, *nope]', 'a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]', '__proto__: { polluted: true }', 'family: x\nfamily: y'])('made of %j is refused, not thrown at', (text) => {
    expect(check(text).problems.length).toBeGreaterThan(0)
    expect('polluted' in {}).toBe(false)
  })

  it('is refused when there is none at all', () => {
    expect(check().problems).toHaveLength(1)
  })
})

describe('the version of a rule set', () => {
  const version = (texts: string[], counters = 'patient: {}') => checkPacks(texts.map((text, i) => ({ file: `${i}`, text })), catalogue, counters).packs?.version
  it('stays for comments, layout and the order of files, and changes with the meaning', () => {
    const before = version([pack, second])
    expect(before).toMatch(/^[0-9a-f]{12}$/)
    expect(version([second, `# a word\n${pack.replace('{ captcha_ms: 310 }', '{captcha_ms:  310}')}`])).toBe(before)
    expect(version([pack.replace('weight: 20', 'weight: 21'), second])).not.toBe(before)
    expect(version([pack, second], 'patient: { x: 1 }')).not.toBe(before)
  })
})
