import { describe, it } from 'vitest'
import { createMorning, expectCaught, machine, type Booking, type Morning } from './support.js'

/** T7: each buyer is bound `boundS` before the booking and unbound `keptS` after it (null: stays). */
function lateBindings(morning: Morning, { count = 12, firstS = 5, gapS = 300, boundS = 70, keptS = 600 as number | null }, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) {
    const [atS, person] = [firstS + i * gapS, morning.people()]
    const booking = { order: `late-${i}`, atS, person, boundS, relation: 'other', ...each(i) }
    const account = booking.account ?? `a-late-${i}`
    morning.bind(account, person, atS - boundS)
    morning.book({ ...booking, account })
    if (keptS !== null) morning.unbind(account, person, atS + keptS)
  }
  return morning
}
const aged = { accountAgeH: 200 * 24 }

describe('T7: buyers who are bound at the last minute are intercepted', () => {
  it('at the release, by a program, in one account', async () => {
    const morning = lateBindings(createMorning({ seed: 71 }), { firstS: 0.2, gapS: 1.5, boundS: 45 }, () => ({ account: 'a-g', device: 'dv-g', ...aged, session: machine }))
    await expectCaught(morning, { gang: 'late-', after: 3, pack: 'binding', code: 'LATE_BINDING' })
  })

  it('all day, by hand, in one account of 200 days that sells one doctor', async () => {
    const morning = lateBindings(createMorning({ seed: 72, hospital: 'h-5' }), { gapS: 1_500 }, () => ({ account: 'a-g', device: 'dv-g', payer: 'p-g', ...aged }))
    await expectCaught(morning, { gang: 'late-', after: 5, pack: 'binding', code: 'BINDING_CHURN' })
  })

  it('by hand in one account that never unbinds, each said to be the owner', async () => {
    const morning = lateBindings(createMorning({ seed: 75 }), { gapS: 700, keptS: null }, () => ({ account: 'a-g', device: 'dv-g', payer: 'p-g', ...aged, relation: 'self' }))
    await expectCaught(morning, { gang: 'late-', after: 6, pack: 'target', code: 'BINDING_CHURN' })
  })

  it('for accounts and payers of their own on one phone', async () => {
    const morning = lateBindings(createMorning({ seed: 76, release: '2026-10-12T06:30:00.000+08:00' }), { gapS: 200 }, (i) => ({ device: 'dv-g', ...aged, relation: 'parent', doctor: `d-${i % 2}` }))
    await expectCaught(morning, { gang: 'late-', after: 5, pack: 'device', code: 'SHARED_DEVICE' })
  })

  it('in a farm of aged accounts behind one payer, with human sessions and a device each', async () => {
    const morning = lateBindings(createMorning({ seed: 73, release: '2026-02-10T08:00:00.000+08:00' }), { gapS: 25, keptS: null }, (i) => ({ ...aged, payer: 'p-g', doctor: `d-${i % 2}` }))
    await expectCaught(morning, { gang: 'late-', after: 4, pack: 'target', code: 'PAYER_MANY_PATIENTS' })
  })

  it('in a farm of new accounts on the web, without device and session', async () => {
    const morning = lateBindings(createMorning({ seed: 74 }), { gapS: 40 }, () => ({ channel: 'web', accountAgeH: 70, payer: 'p-g', device: null, session: null }))
    await expectCaught(morning, { gang: 'late-', after: 4, pack: 'target', code: 'LATE_BINDING' })
  })
})

/** T8: one payer pays for patients of many accounts. */
function onePayer(morning: Morning, { count = 20, gapS = 90 }, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) morning.book({ order: `paid-${i}`, atS: 10 + i * gapS, person: morning.people(), payer: 'p-g', ...each(i) })
  return morning
}

describe('T8: one payer behind many strangers is intercepted', () => {
  const caught = { gang: 'paid-', after: 4, pack: 'payer', code: 'PAYER_MANY_PATIENTS' }

  it('with new accounts and a doctor they all want', async () => {
    await expectCaught(onePayer(createMorning({ seed: 81 }), {}, () => ({ accountAgeH: 100, boundS: 700 })), caught)
  })

  it('with aged accounts, three doctors, human sessions, devices and addresses of their own', async () => {
    await expectCaught(onePayer(createMorning({ seed: 82, hospital: 'h-6' }), { gapS: 400 }, (i) => ({ ...aged, boundS: 500 + 20 * i, doctor: `d-${i % 3}` })), { ...caught, after: 7 })
  })

  it('with patients bound for months, at the release, too fast for hands', async () => {
    await expectCaught(onePayer(createMorning({ seed: 83 }), { gapS: 0.3 }, () => ({ ...aged, boundS: 86_400 * 90, session: { openS: 1.4, pages: 1, captchaMs: 420 } })), caught)
  })

  it('on a partner\'s channel without device and session', async () => {
    await expectCaught(onePayer(createMorning({ seed: 84 }), { gapS: 20 }, () => ({ channel: 'partner', device: null, session: null, ip: null, accountAgeH: 400, boundS: 900 })), caught)
  })
})
