import { describe, expect, it } from 'vitest'
import { decode } from '../../../src/scoring/decode.js'
import { GROUPS, TACTICS } from '../../../src/simulate/wire.js'
import { bytesOf, read, type Read } from './small-city.js'

const SMALL = { days: 10, seed: 5, bookingsPerDay: 500, hospitals: 15 }
const all: Read[] = [...read(SMALL)]
const requests = all.filter(({ told }) => told.type === 'booking.requested')

describe('a city', () => {
  it('is the same, byte for byte, from the same options', () => {
    const options = { days: 3, seed: 9, bookingsPerDay: 200, hospitals: 8 }
    expect(bytesOf(options)).toBe(bytesOf(options))
  })

  it('is another from another seed: no id, no name of a place, no release hour in common but by chance', () => {
    const [one, other] = [5, 6].map((seed) => [...read({ ...SMALL, days: 2, seed })])
    const ids = (events: Read[] = []): Set<string> => new Set(events.flatMap(({ told }) => [told.event_id, told.slot?.hospital_id, told.slot?.doctor_id, told.account?.id, told.device?.id].filter((id) => id !== undefined)))
    const known = ids(one)
    expect([...ids(other)].filter((id) => known.has(id))).toEqual([])
    const people = new Set(one?.map(({ told }) => told.patient?.id_number))
    expect(other?.filter(({ told }) => told.patient && people.has(told.patient.id_number))).toEqual([])
  })

  it('tells its events in the order of time, from the first day to the last', () => {
    const start = Date.parse('2026-03-02T00:00:00+08:00')
    let last = start
    for (const { at, told } of all) {
      expect(at).toBeGreaterThanOrEqual(last)
      expect(Date.parse(told.occurred_at)).toBe(at)
      last = at
    }
    expect(last).toBeGreaterThan(start + 9.9 * 86_400_000)
    expect(last).toBeLessThan(start + 10 * 86_400_000)
  })

  it('keeps the contract with every event', () => {
    const faults = all.flatMap(({ text }) => { const read = decode(text); return read.ok ? [] : [{ text, errors: read.errors }] })
    expect(faults.slice(0, 3)).toEqual([])
  })

  it('gives no two events one id, and no order a life before its request', () => {
    expect(new Set(all.map(({ told }) => told.event_id)).size).toBe(all.length)
    const asked = new Set<string>()
    for (const { told } of all) {
      if (told.order_id === undefined) continue
      if (told.type === 'booking.requested') asked.add(told.order_id)
      else expect(asked.has(told.order_id), told.type).toBe(true)
    }
  })

  it('labels every booking request and nothing else', () => {
    expect(all.filter(({ told, label }) => (told.type === 'booking.requested') !== (label !== undefined))).toEqual([])
    for (const { told, label } of requests) {
      expect(label?.event_id).toBe(told.event_id)
      if (label?.label === 'scalper') expect(label).toEqual({ event_id: told.event_id, label: 'scalper', tactic: expect.stringMatching(/^T\d+$/) as unknown, gang: expect.stringMatching(/^G\d+$/) as unknown })
      else expect(label).toEqual({ event_id: told.event_id, label: 'legit', group: expect.stringMatching(/^[a-z_]+$/) as unknown })
    }
  })

  it('has every tactic and every innocent group', () => {
    const seen = new Set(requests.map(({ label }) => label?.tactic ?? label?.group))
    expect([...TACTICS, ...GROUPS].filter((name) => !seen.has(name))).toEqual([])
  })

  it('has every type of event but reports', () => {
    expect([...new Set(all.map(({ told }) => told.type))].sort()).toEqual([
      'account.logged_in', 'account.registered', 'booking.attended', 'booking.cancelled', 'booking.confirmed', 'booking.expired', 'booking.no_show', 'booking.paid',
      'booking.requested', 'patient.bound', 'patient.unbound', 'schedule.released', 'schedule.stopped', 'slot.queried', 'verification.failed', 'verification.passed',
    ])
    expect(new Set(requests.map(({ told }) => told.channel?.kind))).toEqual(new Set(['app', 'web', 'mini_program', 'phone', 'kiosk', 'window', 'partner']))
    expect(new Set(all.flatMap(({ told }) => told.cancel?.by ?? []))).toEqual(new Set(['patient', 'window', 'hospital', 'platform']))
  })

  it('gives a slot to the first who asks, gang or not, and to nobody else until it is back', () => {
    const slotOf = new Map(requests.map(({ told }) => [told.order_id, told.slot?.slot_id]))
    const holder = new Map<string, string>()
    let refused = 0
    for (const { told } of all) {
      const slot = slotOf.get(told.order_id)
      if (told.order_id === undefined || slot === undefined) continue
      if (told.type === 'booking.requested' && holder.has(slot)) refused++
      if (told.type === 'booking.confirmed') { expect(holder.get(slot)).toBeUndefined(); holder.set(slot, told.order_id) }
      if (told.type === 'booking.cancelled' || told.type === 'booking.expired') { if (holder.get(slot) === told.order_id) holder.delete(slot) }
    }
    expect(refused).toBeGreaterThan(20)
  })

  it('writes what is known of a person before it is used: bound and registered within the city means an event that says so', () => {
    const start = all[0]?.at ?? 0
    const bound = new Set(all.filter(({ told }) => told.type === 'patient.bound').map(({ told }) => `${told.account?.id ?? ''} ${told.patient?.name ?? ''}`))
    const registered = new Set(all.filter(({ told }) => told.type === 'account.registered').map(({ told }) => told.account?.id))
    const unsaid = requests.filter(({ told }) => told.account !== undefined && (
      (told.patient?.bound_at !== undefined && Date.parse(told.patient.bound_at) > start && !bound.has(`${told.account.id} ${told.patient.name}`))
      || (Date.parse(told.account.registered_at) > start && !registered.has(told.account.id))))
    expect(unsaid.slice(0, 3)).toEqual([])
  })

  it('writes members in one order, whoever asks', () => {
    const order = ['event_id', 'type', 'occurred_at', 'order_id', 'channel', 'account', 'patient', 'slot', 'device', 'network', 'session', 'payer', 'operator']
    for (const { told } of requests) expect(Object.keys(told)).toEqual(order.filter((name) => name in told))
  })

  it('has no gangs when none are wanted', () => {
    const labels = [...read({ ...SMALL, days: 2, scalpers: 0 })].flatMap(({ label }) => label ? [label.label] : [])
    expect(new Set(labels)).toEqual(new Set(['legit']))
  })
})
