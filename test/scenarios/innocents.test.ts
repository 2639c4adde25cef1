import { describe, it } from 'vitest'
import { idOf } from '../support/people.js'
import { autofill, byHand, createMorning, DAY_S, expectSpared, type Booking, type Morning } from './support.js'

/** `count` bookings of one group, about `gapS` apart at uneven gaps, as `each` says. Doctors vary unless it says one. */
function group(morning: Morning, { count = 60, firstS = 20, gapS = 40 }, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0, atS = firstS; i < count; i++, atS += gapS * (0.3 + 1.4 * morning.random())) {
    morning.book({ order: `in-${i}`, atS, person: morning.people(), doctor: `d-${i % 9}`, ...each(i) })
  }
  return morning
}
/** Somebody who submits between 2 and 5 s after opening the page, by a favourite or a filled-in form. */
const quick = (morning: Morning) => ({ ...autofill, openS: 2 + 3 * morning.random(), captchaMs: 900 + Math.floor(1_500 * morning.random()) })

describe('families are left alone', () => {
  it('a helper of two to four patients, and a child far away who books for both parents', async () => {
    const morning = createMorning({ seed: 201 })
    for (let f = 0; f < 40; f++) {
      for (const [m, relation] of ['self', 'parent', 'parent', 'child'].slice(0, 2 + f % 3).entries()) {
        const shared = { account: `a-${f}`, device: `dv-${f}`, payer: `p-${f}`, ip: f % 2 ? `10.1.${f}.${m + 1}` : null }
        morning.book({ order: `in-${f}-${m}`, atS: 30 + 3 * f + 45 * m, person: morning.people(), relation, ...shared, doctor: `d-${f % 5}` })
      }
    }
    await expectSpared(morning, 'in-')
  })

  it('children without an ID, under the guardian\'s number or a household book', async () => {
    const morning = createMorning({ seed: 202 })
    group(morning, {}, (i) => {
      const guardian = morning.people()
      const child = { relation: i % 2 ? 'child' : 'guardian', name: `${guardian.name}之子`, boundS: 900 }
      return i % 3 ? { ...child, person: guardian } : { ...child, person: guardian, idType: '02', idNumber: `HB-${i}-2020` }
    })
    await expectSpared(morning, 'in-')
  })

  it('twins, and newborn twins in a new account', async () => {
    const morning = createMorning({ seed: 203 })
    for (let f = 0; f < 40; f++) {
      const born = `20${String(10 + f % 15)}-0${1 + f % 9}-1${f % 9}`
      for (const n of [1, 2]) {
        const twin = { ...morning.people(), idNumber: idOf('320506', born, 100 + n + f), birthDate: born, sex: (100 + n + f) % 2 ? 'M' as const : 'F' as const }
        const age = f % 2 ? { accountAgeH: 0.4, boundS: 300 } : {}
        morning.book({ order: `in-${f}-${n}`, atS: 30 * f + 20 * n, person: twin, account: `a-${f}`, device: `dv-${f}`, payer: `p-${f}`, relation: 'child', ...age, doctor: `d-${f % 7}` })
      }
    }
    await expectSpared(morning, 'in-')
  })

  it('one who cancels for one member and books the slot for another, by hand or in a hurry', async () => {
    const morning = createMorning({ seed: 204 })
    for (let f = 0; f < 50; f++) {
      const one = { account: `a-${f}`, device: `dv-${f}`, payer: `p-${f}`, ip: `10.9.${f}.1`, phone: `138000${20_000 + f}` }
      const cancelS = 4_000 + 60 * f
      morning.book({ order: `first-${f}`, atS: 30 + f, person: morning.people(), ...one })
      morning.confirm(`first-${f}`, 90 + f)
      morning.cancel(`first-${f}`, cancelS)
      if (f % 2) morning.giveBack(`first-${f}`, cancelS + 0.3)
      morning.book({ order: `in-${f}`, atS: cancelS + ([1.8, 4, 9, 25, 80][f % 5] ?? 9), person: morning.people(), slotOf: `first-${f}`, relation: 'parent', ...one })
    }
    await expectSpared(morning, 'in-')
  })
})

describe('helpers of many are left alone', () => {
  it('a village clinic with one account on one device for dozens of elders', async () => {
    const morning = group(createMorning({ seed: 211 }), { count: 70, gapS: 200 }, (i) => ({
      account: 'a-clinic', device: 'dv-clinic', payer: 'p-clinic', ip: '10.5.5.5', relation: 'helper', phone: '13800009999', boundS: i % 2 ? 9e6 : 120, clinic: i % 3 ? 'ordinary' : 'expert',
    }))
    await expectSpared(morning, 'in-')
  })

  it('a village clinic that binds its elders on the spot for one visiting expert', async () => {
    const morning = group(createMorning({ seed: 219 }), { count: 40, gapS: 200 }, () => ({ account: 'a-clinic', device: 'dv-clinic', payer: 'p-clinic', relation: 'helper', boundS: 120, doctor: 'd-1' }))
    await expectSpared(morning, 'in-')
  })

  it('a community doctor whose elders have their own accounts on the one device, some made on the spot, the clinic paying', async () => {
    const morning = group(createMorning({ seed: 212 }), { count: 60, gapS: 240 }, (i) => ({
      device: 'dv-clinic', payer: i % 4 ? 'p-clinic' : `p-${i}`, ip: '10.5.5.6', relation: 'self', ...(i % 3 ? {} : { accountAgeH: 0.1, boundS: 150 }),
    }))
    await expectSpared(morning, 'in-')
  })

  it('a call-centre seat that books all day', async () => {
    await expectSpared(group(createMorning({ seed: 213 }), { count: 160, gapS: 150 }, (i) => ({ channel: 'phone', seat: '12580-0231', payer: null, clinic: i % 4 ? 'ordinary' : 'expert' })), 'in-')
  })

  it('a kiosk in the hall', async () => {
    await expectSpared(group(createMorning({ seed: 214 }), { count: 160, gapS: 60 }, () => ({ channel: 'kiosk', device: 'kiosk-3', payer: null })), 'in-')
  })

  it('a paid companion whose patients attend', async () => {
    const morning = group(createMorning({ seed: 215 }), { count: 40, firstS: -20 * DAY_S, gapS: 0.5 * DAY_S }, (i) => ({
      account: 'a-comp', device: 'dv-comp', payer: 'p-comp', relation: 'helper', boundS: 400, doctor: `d-${i % 13}`, releasedS: -20 * DAY_S,
    }))
    for (let i = 0; i < 40; i++) morning.attend(`in-${i}`, (-19.5 + 0.5 * i) * DAY_S)
    await expectSpared(morning, 'in-')
  })

  it('an employer, an insurer and a family\'s eldest who pay for dozens', async () => {
    const employer = group(createMorning({ seed: 216 }), { count: 80, gapS: 120 }, () => ({ payer: 'p-employer' }))
    await expectSpared(employer, 'in-')
    const insurer = group(createMorning({ seed: 217 }), { count: 80, gapS: 300 }, (i) => ({ payer: 'p-insurer', hospital: `h-${i % 20}`, doctor: `d-${i}` }))
    await expectSpared(insurer, 'in-')
    const eldest = group(createMorning({ seed: 218 }), { count: 24, gapS: 9_000 }, (i) => ({ payer: 'p-eldest', account: `a-${i % 12}`, device: `dv-${i % 12}`, relation: i % 2 ? 'self' : 'child' }))
    await expectSpared(eldest, 'in-')
  })
})

describe('people who are quick, or many at once, are left alone', () => {
  it('a crowd of two hundred in the release second, behind one carrier\'s address', async () => {
    const morning = group(createMorning({ seed: 221 }), { count: 200, firstS: 0.25, gapS: 0.02 }, (i) => ({ ip: i % 2 ? '10.7.7.7' : `10.7.7.${i}`, session: { ...byHand, openS: 25, pages: 1 + i % 4 }, doctor: 'd-1' }))
    await expectSpared(morning, 'in-')
  })

  it('people with autofill or a favourite, a second or more after the release', async () => {
    const morning = createMorning({ seed: 222 })
    await expectSpared(group(morning, { count: 120, firstS: 0.9, gapS: 0.1 }, () => ({ session: quick(morning) })), 'in-')
  })

  it('people with autofill in the first half second', async () => {
    const morning = createMorning({ seed: 223 })
    await expectSpared(group(morning, { count: 60, firstS: 0.2, gapS: 0.008 }, () => ({ session: quick(morning), ip: '10.7.7.7' })), 'in-')
  })

  it('hospital Wi-Fi with newcomers who register in the hall', async () => {
    await expectSpared(group(createMorning({ seed: 224 }), { count: 100, gapS: 50 }, (i) => ({ ip: '10.8.0.1', ...(i % 3 ? {} : { accountAgeH: 0.08, boundS: 140 }) })), 'in-')
  })

  it('a disappointed one who tries five times in the release minute', async () => {
    const morning = createMorning({ seed: 225 })
    for (let p = 0; p < 20; p++) {
      const person = morning.people()
      for (let n = 0, atS = 1 + p / 10; n < 5; n++, atS += 4 + 9 * morning.random()) morning.book({ order: `in-${p}-${n}`, atS, person, account: `a-${p}`, device: `dv-${p}`, payer: `p-${p}`, slotOf: `in-${p}-none`, doctor: `d-${n}` })
    }
    await expectSpared(morning, 'in-')
  })

  it('people who watch for returns by hand and win one within seconds, and users of the waitlist', async () => {
    const morning = createMorning({ seed: 226 })
    for (let i = 0; i < 60; i++) {
      const backS = 5_000 + 90 * i
      morning.book({ order: `gone-${i}`, atS: 40 + i, person: morning.people(), ip: '10.7.7.7' })
      morning.cancel(`gone-${i}`, backS - (i % 2 ? 0.3 : 4_000))
      morning.giveBack(`gone-${i}`, backS)
      for (let n = 0, atS = backS - 1_500; n < 40; n++, atS += 70 * morning.random()) morning.look(`a-in-${i}`, atS)
      morning.book({ order: `in-${i}`, atS: backS + ([1.4, 2.5, 6, 20, 45][i % 5] ?? 9), person: morning.people(), slotOf: `gone-${i}`, ip: i % 6 ? null : '10.7.7.7' })
    }
    await expectSpared(morning, 'in-')
  })
})

describe('newcomers and people with odd equipment are left alone', () => {
  it('a newcomer who registers, binds and books within minutes', async () => {
    await expectSpared(group(createMorning({ seed: 231 }), { count: 100, firstS: 2, gapS: 5 }, (i) => ({ accountAgeH: 0.05 + 0.01 * (i % 9), boundS: 60 + i })), 'in-')
  })

  it('a relative or friend bound minutes before, some unbound later', async () => {
    const morning = createMorning({ seed: 232 })
    for (let i = 0; i < 60; i++) {
      const [person, account, atS] = [morning.people(), `a-${i}`, 60 + 30 * i]
      morning.bind(account, person, atS - 200, `dv-in-${i}`)
      morning.book({ order: `in-${i}`, atS, person, account, boundS: 200, relation: ['parent', 'other', 'spouse', 'child'][i % 4] ?? null, doctor: `d-${i % 6}` })
      if (i % 2) morning.unbind(account, person, atS + 5_000)
    }
    await expectSpared(morning, 'in-')
  })

  it('VPNs, rooted phones and virtual operators\' numbers', async () => {
    await expectSpared(group(createMorning({ seed: 233 }), { count: 90 }, (i) => i % 3 === 0 ? { proxy: true } : i % 3 === 1 ? { rooted: true } : { phone: `1701234${1_000 + i}` }), 'in-')
  })

  it('a company\'s block of phone numbers in one network', async () => {
    await expectSpared(group(createMorning({ seed: 234 }), { count: 120, gapS: 8 }, (i) => ({ phone: `1380013${4_000 + i}`, ip: `10.30.30.${1 + i}` })), 'in-')
  })
})

describe('patients with many visits or cancels that are not theirs are left alone', () => {
  it('dialysis three times a week, pregnancy, chemotherapy', async () => {
    const morning = createMorning({ seed: 241 })
    for (let p = 0; p < 8; p++) {
      const person = morning.people()
      for (let v = 0; v < 26; v++) {
        const atS = (-60 + 2.3 * v) * DAY_S + 600 * p
        morning.book({ order: `in-${p}-${v}`, atS, person, account: `a-${p}`, device: `dv-${p}`, payer: `p-${p}`, doctor: `d-${v % (p % 2 ? 1 : 4)}`, clinic: 'special', releasedS: -61 * DAY_S })
        morning.attend(`in-${p}-${v}`, atS + DAY_S)
      }
    }
    await expectSpared(morning, 'in-')
  })

  it('a session stopped by the doctor, a platform that broke down, and everybody booking again', async () => {
    const morning = createMorning({ seed: 242 })
    morning.stop('d-1', 7_000)
    for (let i = 0; i < 60; i++) {
      const who = { person: morning.people(), account: `a-${i}`, device: `dv-${i % 50}`, payer: `p-${i}`, ip: '10.7.7.7' }
      morning.book({ order: `was-${i}`, atS: 30 + i, ...who, doctor: 'd-1' })
      morning.confirm(`was-${i}`, 100 + i)
      morning.cancel(`was-${i}`, 7_001 + i / 10, i % 3 ? 'hospital' : 'platform')
      morning.book({ order: `in-${i}`, atS: 7_060 + i, ...who, doctor: i % 2 ? 'd-1' : 'd-2', ...(i % 4 ? {} : { slotOf: `was-${(i + 7) % 60}` }) })
    }
    await expectSpared(morning, 'in-')
  })
})
