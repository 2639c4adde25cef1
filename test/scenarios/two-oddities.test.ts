import { describe, expect, it } from 'vitest'
import { autofill, createMorning, decideAll, expectSpared, intercepted, mixOf, type Booking, type Morning } from './support.js'

/** What makes an innocent booking look odd, each by itself met every day. */
const ODDITIES: Readonly<Record<string, (i: number) => Partial<Booking>>> = {
  'a newcomer who registers, binds and books': (i) => ({ accountAgeH: 0.1 + 0.01 * (i % 9), boundS: 160 }),
  'a virtual operator\'s number': (i) => ({ phone: `1650042${1_000 + i}` }),
  'autofill': (i) => ({ session: { ...autofill, openS: 2 + 0.3 * (i % 9) } }),
  'a VPN': () => ({ proxy: true }),
  'a rooted phone': () => ({ rooted: true }),
  'an employer who pays': () => ({ payer: 'p-employer' }),
  'a relative bound minutes before': (i) => ({ relation: ['parent', 'spouse', 'child'][i % 3] ?? null, boundS: 200 }),
  'a friend bound minutes before': () => ({ relation: 'other', boundS: 200 }),
  'the crowd of the release second': (i) => ({ atS: 0.3 + 0.02 * i, session: { openS: 30, pages: 2, captchaMs: 1_900 } }),
  'a favourite in the release second': (i) => ({ atS: 0.3 + 0.02 * i, session: { openS: 4, pages: 1, captchaMs: 1_300 } }),
  'a carrier\'s one address': () => ({ ip: '10.7.7.7' }),
  'the hospital\'s kiosk': () => ({ channel: 'kiosk', device: 'kiosk-1', account: null }),
  'a village clinic\'s one account, device and payer': () => ({ account: 'a-clinic', device: 'dv-clinic', payer: 'p-clinic', relation: 'helper' }),
  'an elder\'s own account on a clinic\'s device': () => ({ device: 'dv-clinic' }),
}
const names = Object.keys(ODDITIES)
/** Forty bookings of one clinic within a second are no innocent's. */
const cannotBe = (a: string, b: string): boolean => /release second/.test(a) && /clinic/.test(b)
const pairs = names.flatMap((a, n) => names.slice(n).map((b): [string, string] => [a, b])).filter(([a, b]) => !cannotBe(a, b))

describe('any two innocent oddities at once are left alone', () => {
  it.each(pairs)('%s with %s', async (a, b) => {
    const morning = createMorning({ seed: 400 + pairs.findIndex(([x, y]) => x === a && y === b) })
    for (let i = 0, atS = 20; i < 40; i++, atS += 200 * morning.random()) {
      morning.book({ order: `in-${i}`, atS, person: morning.people(), doctor: `d-${i % 12}`, ...ODDITIES[a]?.(i), ...ODDITIES[b]?.(i) })
    }
    await expectSpared(morning, 'in-', 0.02)
  })
})

/** A member gives the slot up, another takes it soon after: `gaps` in seconds, in turn. */
function handOvers(seed: number, gaps: readonly number[], second: (i: number) => Partial<Booking>): Morning {
  const morning = createMorning({ seed })
  for (let i = 0; i < 50; i++) {
    const home = { account: `a-${i}`, device: `dv-${i}`, payer: `p-${i}`, ip: `10.9.${i}.1`, phone: `139000${30_000 + i}` }
    const cancelS = 4_000 + 60 * i
    morning.book({ order: `first-${i}`, atS: 30 + i, person: morning.people(), ...home, doctor: `d-${i}` })
    morning.confirm(`first-${i}`, 90 + i)
    morning.cancel(`first-${i}`, cancelS)
    morning.giveBack(`first-${i}`, cancelS + 0.2)
    morning.book({ order: `in-${i}`, atS: cancelS + (gaps[i % gaps.length] ?? 10), person: morning.people(), slotOf: `first-${i}`, ...home, ...second(i) })
  }
  return morning
}

describe('a family\'s hand-over beside another oddity is left alone', () => {
  it('to a relative bound minutes before', async () => {
    await expectSpared(handOvers(321, [2, 6, 20, 70], (i) => ({ boundS: 180, relation: ['parent', 'spouse', 'child'][i % 3] ?? null })), 'in-')
  })

  it('in a new account with a virtual number', async () => {
    await expectSpared(handOvers(326, [5, 25, 100], (i) => ({ boundS: 900, accountAgeH: 3, relation: 'child', phone: `1650042${1_000 + i}` })), 'in-')
  })

  it('between a couple\'s two accounts with one payer', async () => {
    await expectSpared(handOvers(322, [3, 8, 30, 120], (i) => ({ account: `a-wife-${i}`, device: `dv-wife-${i}` })), 'in-')
  })

  it('on a VPN with autofill', async () => {
    await expectSpared(handOvers(323, [2.5, 9, 40], () => ({ proxy: true, session: autofill, relation: 'parent' })), 'in-')
  })

  it('given up in the app and taken by telephone', async () => {
    await expectSpared(handOvers(324, [15, 60, 240], () => ({ channel: 'phone', account: null, device: null, ip: null, relation: null })), 'in-')
  })

  it('while an employer pays for all of them', async () => {
    const morning = handOvers(327, [4, 12, 45], () => ({ payer: 'p-employer', relation: 'spouse' }))
    await expectSpared(morning, 'in-')
  })
})

describe('winning a return within seconds beside another oddity is left alone', () => {
  it.each(names.filter((name) => !/release second|kiosk|clinic/.test(name)))('%s', async (name) => {
    const morning = createMorning({ seed: 325 })
    for (let i = 0; i < 40; i++) {
      morning.book({ order: `gone-${i}`, atS: 40 + i, person: morning.people(), doctor: `d-${i % 12}`, ip: '10.7.7.7' })
      morning.cancel(`gone-${i}`, 5_000 + 90 * i)
      morning.giveBack(`gone-${i}`, 5_000.2 + 90 * i)
      morning.book({ order: `in-${i}`, atS: 5_001.6 + 90 * i, person: morning.people(), slotOf: `gone-${i}`, ...ODDITIES[name]?.(i) })
    }
    await expectSpared(morning, 'in-')
  })
})

/** What stays indistinguishable on one event is asked about, not stopped. */
describe('three oddities at once', () => {
  it('reach a check at most', async () => {
    const worst: string[] = []
    for (const [n, [a, b]] of pairs.entries()) {
      const c = names[(n * 7 + 3) % names.length] ?? ''
      const morning = createMorning({ seed: 900 + n })
      for (let i = 0, atS = 20; i < 30; i++, atS += 200 * morning.random()) {
        morning.book({ order: `in-${i}`, atS, person: morning.people(), doctor: `d-${i % 12}`, ...ODDITIES[a]?.(i), ...ODDITIES[b]?.(i), ...ODDITIES[c]?.(i) })
      }
      const decisions = (await decideAll(morning))('in-')
      if (intercepted(decisions) > 0) worst.push(`${a}, ${b}, ${c}: ${mixOf(decisions)} ${decisions.filter((d) => d.outcome !== 'allow').at(-1)?.rules.join(' ') ?? ''}`)
    }
    expect(worst).toEqual([])
  })
})
