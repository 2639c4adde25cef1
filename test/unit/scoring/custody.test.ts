import { describe, expect, it } from 'vitest'
import { EVENT_TYPES, type BookingEvent, type CancelledBy } from '../../../src/domain/event.js'
import type { PackedLog, PackedRecord } from '../../../src/domain/packed-log.js'
import { custodyAt, HANDOFF_WITHIN_MS, packSlotRecord, type CustodyView } from '../../../src/scoring/custody.js'
import { DIMENSIONS } from '../../../src/scoring/counters.js'
import { factsOf } from '../../../src/scoring/facts.js'
import { START_MS, tokenOf } from '../../support/event-streams.js'

interface Said { at: number; order?: string; channel?: string; patient?: string; account?: string; device?: string; payer?: string; phone?: string; by?: CancelledBy }

/** Times are ms after the start; every step is told as the slot's log gets it. */
const step = (type: BookingEvent['type'], said: Said): BookingEvent => ({
  eventId: `${type} ${said.order ?? ''} ${said.at}`, type, occurredAt: START_MS + said.at, orderId: said.order ?? 'none',
  ...(said.channel === undefined ? {} : { channel: { id: said.channel, kind: 'app' } }),
  ...(said.patient === undefined ? {} : { patient: { token: tokenOf(said.patient), idType: '01', ...(said.phone === undefined ? {} : { phone: { token: tokenOf(said.phone), prefixToken: tokenOf('p'), virtualOperator: false, valid: true } }) } }),
  ...(said.account === undefined ? {} : { account: { token: tokenOf(said.account) } }),
  ...(said.device === undefined ? {} : { device: { token: tokenOf(said.device) } }),
  ...(said.payer === undefined ? {} : { payer: { token: tokenOf(said.payer) } }),
  ...(said.by === undefined ? {} : { cancel: { by: said.by } }),
})
const asked = (order: string, at: number, said: Omit<Said, 'at'> = {}): BookingEvent => step('booking.requested', { at, order, patient: order, ...said })
const cancelled = (order: string, at: number, by: CancelledBy = 'patient', said: Omit<Said, 'at'> = {}): BookingEvent => step('booking.cancelled', { at, order, by, ...said })
const expired = (order: string, at: number): BookingEvent => step('booking.expired', { at, order })
const confirmed = (order: string, at: number): BookingEvent => step('booking.confirmed', { at, order })
const released = (at: number, reRelease: boolean): BookingEvent => ({ ...step('schedule.released', { at }), reRelease })

function recordOf(event: BookingEvent): PackedRecord {
  const facts = factsOf(event)
  return packSlotRecord(facts, facts.keys[DIMENSIONS.indexOf('channel') * 2 + 1] ?? 0, event.reRelease === true)
}

/** The chain as `own`, the last of the steps, sees it. */
function seenBy(own: BookingEvent, ...before: BookingEvent[]): CustodyView | undefined {
  const sorted = [...before, own].sort((a, b) => EVENT_TYPES.indexOf(a.type) - EVENT_TYPES.indexOf(b.type) || a.occurredAt - b.occurredAt)
  const words = Uint32Array.from(sorted.flatMap(recordOf))
  const log: PackedLog = { words, from: 0, to: words.length }
  return custodyAt(log, recordOf(own), own.occurredAt)
}
const handOff = (own: BookingEvent, ...before: BookingEvent[]): CustodyView['handOff'] => seenBy(own, ...before)?.handOff

describe('the hands of a slot', () => {
  it('are the orders that asked before or at the same instant, each once', () => {
    expect(seenBy(asked('c', 10), asked('a', 1), asked('a', 2), asked('b', 10), asked('d', 11))?.hands).toBe(2)
    expect(seenBy(asked('a', 10))?.hands).toBe(0)
  })

  it('of an order that asks again are those before its first request', () => {
    expect(seenBy(asked('a', 10), asked('a', 1), asked('b', 5))?.hands).toBe(0)
  })

  it('give it back when another order is cancelled by its patient or expires, at or before the request', () => {
    expect(seenBy(asked('z', 10), asked('a', 1), cancelled('a', 10), asked('b', 2), expired('b', 3), asked('c', 4), cancelled('c', 11))?.returns).toBe(2)
    expect(seenBy(asked('z', 10), asked('a', 1), cancelled('a', 5, 'hospital'), cancelled('a', 6, 'platform'), expired('z', 9))?.returns).toBe(0)
  })
})

describe('a re-release', () => {
  it('is dated by the latest at or before the request; the first release is none', () => {
    expect(seenBy(asked('a', 10), released(0, false), released(3, true), released(8, true), released(11, true))?.reReleaseGapMs).toBe(2)
    expect(seenBy(asked('a', 10), released(10, true))?.reReleaseGapMs).toBe(0)
    expect(seenBy(asked('a', 10), released(0, false))).not.toHaveProperty('reReleaseGapMs')
  })
})

describe('a hand-off', () => {
  it('comes from the latest end of another order, expired or cancelled by its patient or at the window', () => {
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4))?.gapMs).toBe(6)
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4, 'window'))?.gapMs).toBe(6)
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4), asked('b', 5), expired('b', 7))?.gapMs).toBe(3)
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4, 'hospital'))).toBeUndefined()
    expect(handOff(asked('z', 10), asked('z', 1), cancelled('z', 4))).toBeUndefined()
    // An end of its own order, told before its request, is passed over.
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 2), cancelled('z', 4))?.gapMs).toBe(8)
  })

  it('may be at the same instant, and not after the taker asked', () => {
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 10))?.gapMs).toBe(0)
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 11))).toBeUndefined()
  })

  it('is measured from the first request of the taker', () => {
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4), asked('z', 6))?.gapMs).toBe(2)
    expect(handOff(asked('z', 10), asked('a', 1), cancelled('a', 4), asked('z', 3))).toBeUndefined()
  })

  it('is none after more than a day', () => {
    expect(handOff(asked('z', HANDOFF_WITHIN_MS + 4), asked('a', 1), cancelled('a', 4))?.gapMs).toBe(86_400_000)
    expect(handOff(asked('z', HANDOFF_WITHIN_MS + 5), asked('a', 1), cancelled('a', 4))).toBeUndefined()
  })

  it('is none when the giver never asked for this slot', () => {
    expect(handOff(asked('z', 10), cancelled('a', 4))).toBeUndefined()
  })

  it('is none when a third order was confirmed after the end and at or before the taker', () => {
    const given = [asked('a', 1), cancelled('a', 4), asked('b', 2)]
    expect(handOff(asked('z', 10), ...given, confirmed('b', 5))).toBeUndefined()
    expect(handOff(asked('z', 10), ...given, confirmed('b', 10))).toBeUndefined()
    expect(handOff(asked('z', 10), ...given, step('booking.paid', { at: 5, order: 'b' }))).toBeUndefined()
    expect(handOff(asked('z', 10), ...given, confirmed('b', 4))?.gapMs).toBe(6)
    expect(handOff(asked('z', 10), ...given, confirmed('b', 11))?.gapMs).toBe(6)
    expect(handOff(asked('z', 10), ...given, confirmed('z', 5), confirmed('a', 6))?.gapMs).toBe(6)
  })

  it('at one instant comes from a cancel rather than an expiry', () => {
    const seen = handOff(asked('z', 10, { device: 'd' }), asked('a', 1, { device: 'd' }), expired('a', 4), asked('b', 2, { device: 'e' }), cancelled('b', 4))
    expect(seen?.same.device).toBe(false)
  })
})

describe('what two hands share', () => {
  const seen = (giver: Omit<Said, 'at'>, taker: Omit<Said, 'at'>): CustodyView['handOff'] => handOff(asked('z', 10, taker), asked('a', 1, giver), cancelled('a', 4))

  it('is account, device, payer and phone; what one did not say is missing, not different', () => {
    expect(seen({ account: 'x', device: 'd', payer: 'p' }, { account: 'x', device: 'e', phone: '1' })).toMatchObject({ shared: 1, same: { account: true, device: false, patient: false } })
    expect(seen({ account: 'x', device: 'd', payer: 'p', phone: '1' }, { account: 'x', device: 'd', payer: 'p', phone: '1' })?.shared).toBe(4)
    expect(seen({ account: 'x' }, { device: 'd' })?.same).toEqual({ patient: false })
  })

  it('is missing when nothing can be compared', () => {
    expect(seen({ account: 'x' }, { device: 'd' })).not.toHaveProperty('shared')
    expect(seen({ account: 'x' }, { account: 'y' })?.shared).toBe(0)
  })

  it('makes a pair of accounts when both are known', () => {
    expect(seen({ account: 'x' }, { account: 'y' })?.pair).not.toEqual(seen({ account: 'y' }, { account: 'x' })?.pair)
    expect(seen({ account: 'x' }, {})).not.toHaveProperty('pair')
  })

  it('crosses channels when it was given on one and taken on another; a cancel without a channel came by its request\'s', () => {
    const cross = (giver: string, cancel: string | undefined, taker: string): boolean | undefined =>
      handOff(asked('z', 10, { channel: taker }), asked('a', 1, { channel: giver }), cancelled('a', 4, 'patient', cancel === undefined ? {} : { channel: cancel }))?.crossChannel
    expect([cross('app', 'app', 'phone'), cross('app', 'phone', 'phone'), cross('app', undefined, 'app'), cross('app', undefined, 'phone')]).toEqual([true, false, false, true])
    expect(seen({}, { channel: 'app' })).not.toHaveProperty('crossChannel')
  })
})
