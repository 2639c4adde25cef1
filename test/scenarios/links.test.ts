import { describe, expect, it } from 'vitest'
import { createMorning, DAY_S, decideAll, expectCaught, expectSpared, intercepted, machine, type Booking, type Morning } from './support.js'

/** Crude bookings, each suspected for what it is by itself, that share `hands`. */
function crude(morning: Morning, count: number, hands: Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) morning.book({ order: `crude-${i}`, atS: 0.2 + 0.3 * i, person: morning.people(), session: machine, emulator: true, accountAgeH: 40, boundS: 240, ...hands })
  return morning
}

/** Careful ones in the weeks after: aged accounts, by hand, one a day, for strangers bound in the last minutes. */
function careful(morning: Morning, count: number, each: (i: number) => Partial<Booking>): Morning {
  for (let i = 0; i < count; i++) morning.book({ order: `careful-${i}`, atS: (1 + i) * DAY_S, person: morning.people(), boundS: 600, doctor: `d-${i}`, relation: 'other', ...each(i) })
  return morning
}

const caught = { gang: 'careful-', after: 0, share: 0.9, pack: 'links', code: 'LINKED_BOOKINGS' }

describe('T13: a gang that has learned to be slow is known by the hands it shares', () => {
  it('by the payer of its first, crude bookings', async () => {
    await expectCaught(careful(crude(createMorning({ seed: 131 }), 6, { payer: 'p-g' }), 6, () => ({ payer: 'p-g' })), caught)
  })

  it('by a device, though each account pays for itself', async () => {
    await expectCaught(careful(crude(createMorning({ seed: 132, hospital: 'h-5' }), 6, { device: 'dv-g' }), 6, () => ({ device: 'dv-g' })), caught)
  })
})

describe('what others were suspected of is no guilt', () => {
  it('spares the people of an employer, two of whom were in a hurry', async () => {
    const morning = crude(createMorning({ seed: 133 }), 2, { payer: 'p-firm' })
    for (let i = 0; i < 30; i++) morning.book({ order: `staff-${i}`, atS: 3_600 + 900 * i, person: morning.people(), payer: 'p-firm', doctor: `d-${i % 12}` })
    await expectSpared(morning, 'staff-', 0.2)
  })

  it('does not go on from those who are only known by others', async () => {
    const morning = careful(crude(createMorning({ seed: 134 }), 6, { payer: 'p-g' }), 6, (i) => ({ payer: 'p-g', device: `dv-lent-${i % 2}` }))
    for (let i = 0; i < 4; i++) morning.book({ order: `owner-${i}`, atS: (20 + i) * DAY_S, person: morning.people(), device: `dv-lent-${i % 2}`, boundS: 600, relation: 'parent' })
    const decisions = await decideAll(morning)
    expect(intercepted(decisions('careful-'))).toBeGreaterThan(3)
    expect(decisions('owner-').flatMap(({ families }) => families)).not.toContain('links')
  })
})
