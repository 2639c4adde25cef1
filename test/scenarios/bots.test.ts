import { describe, it } from 'vitest'
import { idOf } from '../support/people.js'
import { createMorning, expectCaught, machine, type Booking, type Morning } from './support.js'

/** T1: one machine that submits for many accounts, `gapS` apart. What is not said is as an ordinary patient's. */
function bots(morning: Morning, { count = 16, firstS = 0.12, gapS = 0.02 }, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) {
    morning.book({ order: `bot-${i}`, atS: firstS + i * gapS, person: morning.people(), session: machine, ...each(i) })
  }
  return morning
}
const virtual = (i: number): string => `170${String(55_810_000 + 7 * i)}`

describe('T1: a protocol bot is intercepted', () => {
  it('with new accounts, virtual phones, one payer and addresses that change', async () => {
    const morning = bots(createMorning({ seed: 11 }), {}, (i) => ({ channel: 'mini_program', accountAgeH: 30, boundS: 110, phone: virtual(i), payer: 'p-g' }))
    await expectCaught(morning, { gang: 'bot-', after: 2, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('at midnight at another hospital, with aged accounts, real phones and one payer', async () => {
    const morning = bots(createMorning({ seed: 12, release: '2026-03-02T00:00:00.000+08:00', hospital: 'h-3' }), { count: 30, gapS: 0.4 }, (i) => ({
      accountAgeH: 200 * 24, boundS: 190 * 86_400, payer: 'p-g', doctor: `d-${i % 3}`, session: { openS: 1.6, pages: 1, captchaMs: 900 },
    }))
    await expectCaught(morning, { gang: 'bot-', after: 4, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('with aged accounts that each have a payer, device and address of their own, when the patients were bound just before', async () => {
    const morning = bots(createMorning({ seed: 13 }), { gapS: 0.05 }, () => ({ accountAgeH: 200 * 24, boundS: 240 }))
    await expectCaught(morning, { gang: 'bot-', after: 3, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('from one emulator, for accounts of two years', async () => {
    const morning = bots(createMorning({ seed: 14 }), {}, () => ({ device: 'dv-g', emulator: true }))
    await expectCaught(morning, { gang: 'bot-', after: 3, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('on a partner\'s channel that knows no device and no payer, with virtual phones', async () => {
    const morning = bots(createMorning({ seed: 15, release: '2026-05-08T15:00:00.000+08:00' }), {}, (i) => ({
      channel: 'partner', device: null, payer: null, accountAgeH: 50, boundS: 300, phone: virtual(i), session: { openS: 0.9, pages: 0, captchaMs: 1_500 },
    }))
    await expectCaught(morning, { gang: 'bot-', after: 3, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('on the web without device and session, when one payer stands behind it', async () => {
    const morning = bots(createMorning({ seed: 16 }), { gapS: 0.2 }, (i) => ({
      channel: 'web', device: null, session: null, accountAgeH: 60, boundS: 400, payer: 'p-g', doctor: `d-${i % 4}`,
    }))
    await expectCaught(morning, { gang: 'bot-', after: 8, pack: 'automation', code: 'FAST_SUBMIT' })
  })

  it('for an ordinary clinic, with names that are none', async () => {
    const morning = bots(createMorning({ seed: 17 }), {}, (i) => ({ clinic: 'ordinary', name: String(561 + i) }))
    await expectCaught(morning, { gang: 'bot-', after: 3, pack: 'identity', code: 'ID_DETAILS_DIFFER' })
  })
})

/** T3: numbers of one district and birthday, the order number counted up. */
function generated(morning: Morning, { count = 14, gapS = 6, region = '330106', born = '1984-02-17' }, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) {
    const person = { ...morning.people(), idNumber: idOf(region, born, 101 + 2 * i), birthDate: born, sex: 'M' as const }
    morning.book({ order: `gen-${i}`, atS: 8 + i * gapS, person, ...each(i) })
  }
  return morning
}

const bareAged = { accountAgeH: 4_800, boundS: 86_400 * 150 }

describe('T3: generated identities are intercepted', () => {
  it('with a pool of virtual numbers and new accounts, at a human pace', async () => {
    const morning = generated(createMorning({ seed: 31 }), {}, (i) => ({ accountAgeH: 90, boundS: 500, phone: virtual(i) }))
    await expectCaught(morning, { gang: 'gen-', after: 3, pack: 'identity', code: 'ID_SERIES' })
  })

  it('with real numbers and accounts of 200 days that share nothing', async () => {
    const morning = generated(createMorning({ seed: 32, release: '2026-08-03T12:00:00.000+08:00' }), { region: '510107', born: '1971-11-30' }, () => bareAged)
    await expectCaught(morning, { gang: 'gen-', after: 3, pack: 'identity', code: 'ID_SERIES' })
  })

  it('over the day and three doctors, without device, session, payer and binding', async () => {
    const bare = { channel: 'partner' as const, device: null, session: null, payer: null, boundS: null, ip: null, relation: null }
    const morning = generated(createMorning({ seed: 33, hospital: 'h-9' }), { count: 18, gapS: 1_800 }, (i) => ({ ...bare, doctor: `d-${i % 3}` }))
    await expectCaught(morning, { gang: 'gen-', after: 8, pack: 'identity', code: 'ID_SERIES' })
  })

  it('one series over seven doctors', async () => {
    const morning = generated(createMorning({ seed: 36 }), { gapS: 500, region: '610113', born: '1966-12-01' }, (i) => ({ ...bareAged, doctor: `d-${i % 7}` }))
    await expectCaught(morning, { gang: 'gen-', after: 5, pack: 'identity', code: 'ID_SERIES' })
  })

  it('by telephone, where there is no account', async () => {
    const morning = generated(createMorning({ seed: 34 }), { gapS: 300 }, () => ({ channel: 'phone' }))
    await expectCaught(morning, { gang: 'gen-', after: 3, pack: 'identity', code: 'ID_SERIES' })
  })

  it('in two series at two hospitals', async () => {
    const morning = generated(createMorning({ seed: 35 }), { count: 8 }, () => ({ accountAgeH: 40, boundS: 4_000 }))
    for (let i = 0; i < 8; i++) {
      const person = { ...morning.people(), idNumber: idOf('420106', '1990-06-06', 20 + 2 * i), birthDate: '1990-06-06', sex: 'F' as const }
      morning.book({ order: `gen-x${i}`, atS: 60 + i, person, hospital: 'h-8', doctor: 'd-77', session: { openS: 4, pages: 2, captchaMs: 1_000 } })
    }
    await expectCaught(morning, { gang: 'gen-', after: 8, share: 0.7, pack: 'identity', code: 'ID_SERIES' })
  })
})
