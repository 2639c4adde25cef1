import { describe, expect, it } from 'vitest'
import type { BookingEvent, EventType } from '../../../src/domain/event.js'
import { hash64 } from '../../../src/domain/hash.js'
import { type PackedLog, type PackedRecord } from '../../../src/domain/packed-log.js'
import { EVENT_TYPES } from '../../../src/domain/event.js'
import { factsOf } from '../../../src/scoring/facts.js'
import { corrections, packOrderRecord, SUPERSEDED } from '../../../src/scoring/orders.js'
import { flagBit } from '../../../src/scoring/plan.js'
import { START_MS, tokenOf } from '../../support/event-streams.js'

const ORDER = hash64('o')

const eventOf = (type: EventType, at: number, patient?: string, by?: 'patient'): BookingEvent => ({
  eventId: `${type} ${at}`, type, occurredAt: START_MS + at, orderId: 'o', channel: { id: 'app', kind: 'app' },
  ...(patient === undefined ? {} : { patient: { token: tokenOf(patient), idType: '01' }, slot: { hospitalId: 'h', scheduleId: 's', slotId: '1', clinic: 'expert' as const, feeFen: 5_000 } }),
  ...(by === undefined ? {} : { cancel: { by } }),
})
const recordOf = (event: BookingEvent): PackedRecord => packOrderRecord(factsOf(event))

function logOf(events: readonly BookingEvent[]): PackedLog {
  const sorted = [...events].sort((a, b) => EVENT_TYPES.indexOf(a.type) - EVENT_TYPES.indexOf(b.type) || a.occurredAt - b.occurredAt)
  const words = Uint32Array.from(sorted.flatMap(recordOf))
  return { words, from: 0, to: words.length }
}

/** Each correction as words: what is said (or unsaid), when, superseded or not. */
function correctionsOf(before: readonly BookingEvent[], added: BookingEvent): string[] {
  return corrections(logOf([...before, added]), recordOf(added), ORDER)
    .map(({ facts, undo }) => `${undo ? 'unsay' : 'say'} ${EVENT_TYPES[facts.verb] ?? ''} ${facts.t - START_MS}${(facts.flags & SUPERSEDED) !== 0 ? ' superseded' : ''} of ${whose(facts.keys[1] ?? 0)}`)
}
const whose = (low: number): string => ['a', 'b', 'c'].find((patient) => parseInt(tokenOf(patient).slice(8, 16), 16) === low) ?? 'nobody'

const [a1, b2, c3] = [eventOf('booking.requested', 1, 'a'), eventOf('booking.requested', 2, 'b'), eventOf('booking.requested', 3, 'c')]

describe('the first request of an order', () => {
  it('has nothing to correct', () => {
    expect(correctionsOf([], a1)).toEqual([])
  })

  it('is what events that waited for it are said of', () => {
    expect(correctionsOf([eventOf('booking.confirmed', 0), eventOf('booking.paid', 9)], a1)).toEqual(['say booking.confirmed 0 of a', 'say booking.paid 9 of a'])
  })
})

describe('a later request', () => {
  it('supersedes the one before it and takes the events at or after its time', () => {
    expect(correctionsOf([a1, eventOf('booking.confirmed', 1), eventOf('booking.paid', 2), eventOf('booking.attended', 7)], b2)).toEqual([
      'say booking.requested 1 superseded of a',
      'unsay booking.paid 2 of a', 'say booking.paid 2 of b', 'unsay booking.attended 7 of a', 'say booking.attended 7 of b',
    ])
  })

  it('supersedes only the one that was the latest till then', () => {
    expect(correctionsOf([a1, b2], c3)).toEqual(['say booking.requested 2 superseded of b'])
  })
})

describe('a request that arrives late', () => {
  it('is superseded itself and takes what happened before the next one', () => {
    expect(correctionsOf([a1, c3, eventOf('booking.confirmed', 2), eventOf('booking.paid', 3)], b2)).toEqual([
      'say booking.requested 2 superseded of b', 'unsay booking.confirmed 2 of a', 'say booking.confirmed 2 of b',
    ])
  })

  it('and is the earliest takes what came before all requests', () => {
    expect(correctionsOf([b2, eventOf('booking.confirmed', 0)], a1)).toEqual([
      'say booking.requested 1 superseded of a', 'unsay booking.confirmed 0 of b', 'say booking.confirmed 0 of a',
    ])
  })
})

describe('a lifecycle event', () => {
  it('is said of the latest request at or before it, else of the earliest, else of none', () => {
    expect(correctionsOf([a1, b2], eventOf('booking.paid', 2))).toEqual(['say booking.paid 2 of b'])
    expect(correctionsOf([a1, b2], eventOf('booking.paid', 1))).toEqual(['say booking.paid 1 of a'])
    expect(correctionsOf([a1, b2], eventOf('booking.paid', 0))).toEqual(['say booking.paid 0 of a'])
    expect(correctionsOf([], eventOf('booking.paid', 0))).toEqual([])
  })

  it('says the fee, the slot and the flags of its request, and its own cause and channel', () => {
    const [said] = corrections(logOf([a1, eventOf('booking.cancelled', 5, undefined, 'patient')]), recordOf(eventOf('booking.cancelled', 5, undefined, 'patient')), ORDER)
    expect(said?.facts).toMatchObject({ feeFen: 5_000, flags: flagBit('by_patient') | flagBit('scarce'), slot: factsOf(a1).slot, order: ORDER, t: START_MS + 5 })
    expect(said?.channel).toBe(hash64('app').lo)
  })
})
