import { describe, expect, it } from 'vitest'
import { createMorning, decideAll, expectCaught, intercepted, type Booking, type ChannelName, type Morning } from './support.js'

interface HandOff {
  count?: number
  /** From the cancel to the new booking, seconds. */
  gapS?: (i: number) => number
  /** The slot comes back so long after the cancel; null: nobody says so. */
  returnS?: number | null
  gaveBy?: ChannelName
  sitter: (i: number) => Partial<Booking>
  buyer: (i: number) => Partial<Booking>
}

/** T4: sitters hold slots, booked like anybody; every ten minutes one gives up and a buyer has the slot. Facts confirm all. */
function handOffs(morning: Morning, { count = 8, gapS = () => 2.4, returnS = 0.2, gaveBy = 'app', sitter, buyer }: HandOff): Morning {
  for (let i = 0; i < count; i++) {
    const cancelS = 3_600 + 600 * i
    morning.book({ order: `sit-${i}`, atS: 20 + 40 * i, person: morning.people(), channel: gaveBy, ...sitter(i) })
    morning.confirm(`sit-${i}`, 50 + 40 * i)
    morning.cancel(`sit-${i}`, cancelS, 'patient', gaveBy)
    if (returnS !== null) morning.giveBack(`sit-${i}`, cancelS + returnS)
    morning.book({ order: `buy-${i}`, atS: cancelS + gapS(i), person: morning.people(), slotOf: `sit-${i}`, boundS: 90, ...buyer(i) })
    morning.confirm(`buy-${i}`, cancelS + gapS(i) + 300)
  }
  return morning
}
const aged = { accountAgeH: 200 * 24 }

describe('T4: a slot that changes hands by cancel and rebook is intercepted', () => {
  const caught = { gang: 'buy-', after: 1, pack: 'handoff', code: 'SLOT_HANDOFF' }

  it('on one device with one payer, in 2.4 seconds, with new accounts', async () => {
    const morning = handOffs(createMorning({ seed: 41 }), {
      sitter: (i) => ({ device: 'dv-g', payer: 'p-g', doctor: `d-${i}` }),
      buyer: () => ({ device: 'dv-g', payer: 'p-g', accountAgeH: 50, relation: 'other', session: { openS: 6, pages: 2, captchaMs: 800 } }),
    })
    await expectCaught(morning, caught)
  })

  it('with accounts of 200 days and human sessions, one device, another payer each time', async () => {
    await expectCaught(handOffs(createMorning({ seed: 42, hospital: 'h-2' }), {
      gapS: (i) => 4 + i, sitter: (i) => ({ ...aged, device: 'dv-g', doctor: `d-${i}` }), buyer: () => ({ ...aged, device: 'dv-g', relation: 'self' }),
    }), caught)
  })

  it('with accounts of 200 days and human sessions, one payer, another device and account each time', async () => {
    await expectCaught(handOffs(createMorning({ seed: 43, release: '2026-04-01T16:00:00.000+08:00' }), {
      gapS: (i) => 3 + 2 * i, sitter: (i) => ({ ...aged, payer: 'p-g', doctor: `d-${i}` }), buyer: () => ({ ...aged, payer: 'p-g', relation: 'parent' }),
    }), caught)
  })

  it('slowly, 20 to 90 seconds after the cancel', async () => {
    await expectCaught(handOffs(createMorning({ seed: 44 }), {
      gapS: (i) => 20 + 10 * i, returnS: null, sitter: (i) => ({ ...aged, payer: 'p-g', doctor: `d-${i}` }), buyer: () => ({ ...aged, payer: 'p-g' }),
    }), caught)
  })

  it('when the return is put off by an hour or two and the re-release is met within seconds', async () => {
    const morning = createMorning({ seed: 45 })
    for (let i = 0; i < 8; i++) {
      const backS = 3_600 + 700 * i + 5_000
      morning.book({ order: `sit-${i}`, atS: 30 + i, person: morning.people(), ...aged, device: `dv-${i % 2}`, doctor: `d-${i}` })
      morning.cancel(`sit-${i}`, 3_600 + 700 * i)
      morning.giveBack(`sit-${i}`, backS)
      morning.book({ order: `buy-${i}`, atS: backS + 3, person: morning.people(), slotOf: `sit-${i}`, ...aged, boundS: 600, device: `dv-${i % 2}` })
    }
    await expectCaught(morning, caught)
  })

  it('within one account that binds each buyer moments before', async () => {
    const inOne = { account: 'a-g', device: 'dv-g', payer: 'p-g', ...aged }
    await expectCaught(handOffs(createMorning({ seed: 46 }), { gapS: () => 15, sitter: (i) => ({ ...inOne, doctor: `d-${i}` }), buyer: () => ({ ...inOne, relation: 'parent' }) }), { ...caught, after: 2, code: 'REPEATED_HANDOFF' })
    await expectCaught(handOffs(createMorning({ seed: 47 }), { sitter: (i) => ({ ...inOne, doctor: `d-${i}` }), buyer: () => ({ ...inOne, relation: 'other' }) }), { ...caught, after: 2 })
  })

  it('cancelled in the app and booked by telephone, with one payer or one contact phone', async () => {
    const byPhone = { channel: 'phone' as const, seat: '12580-0007' }
    await expectCaught(handOffs(createMorning({ seed: 48 }), { gapS: (i) => 8 + 4 * i, sitter: () => ({ ...aged, payer: 'p-g' }), buyer: () => ({ ...byPhone, payer: 'p-g' }) }), { ...caught, after: 2 })
    await expectCaught(handOffs(createMorning({ seed: 49 }), {
      gapS: (i) => 8 + 4 * i, sitter: () => ({ ...aged, phone: '13900112233' }), buyer: () => ({ ...byPhone, payer: null, phone: '13900112233' }),
    }), { ...caught, after: 2 })
  })

  it('without any session, device and binding, as a partner sends it', async () => {
    const bare = { channel: 'partner' as const, device: null, session: null, ip: null, boundS: null, relation: null, payer: 'p-g', ...aged }
    await expectCaught(handOffs(createMorning({ seed: 50 }), { gaveBy: 'partner', sitter: () => bare, buyer: () => ({ ...bare, account: 'a-sell' }) }), { ...caught, after: 2 })
  })

  it('when the patients have been in the accounts for months', async () => {
    await expectCaught(handOffs(createMorning({ seed: 51 }), {
      sitter: () => ({ ...aged, device: 'dv-g' }), buyer: () => ({ ...aged, device: 'dv-g', boundS: 86_400 * 120 }),
    }), { ...caught, after: 2 })
  })

  it('between accounts that share nothing but pass slots on to each other again and again', async () => {
    const morning = handOffs(createMorning({ seed: 52 }), { sitter: () => ({ ...aged, account: 'a-sit', device: 'dv-1' }), buyer: () => ({ ...aged, account: 'a-sell', device: 'dv-2', boundS: 9e6 }) })
    await expectCaught(morning, { ...caught, after: 3, code: 'REPEATED_HANDOFF' })
  })

  it('from the first one on when the buyer is a stranger to the account', async () => {
    const morning = handOffs(createMorning({ seed: 53 }), { count: 1, sitter: () => ({ ...aged, payer: 'p-g' }), buyer: () => ({ ...aged, payer: 'p-g', relation: 'other' }) })
    expect(intercepted((await decideAll(morning))('buy-'))).toBe(1)
    expect(intercepted((await decideAll(morning))('sit-'))).toBe(0)
  })
})
