import { describe, expect, it } from 'vitest'
import type { Decision } from '../../../src/domain/decision.js'
import type { BookingEvent } from '../../../src/domain/event.js'
import { effectsOf, effectsOfDecision } from '../../../src/pipeline/effects.js'

const ACCEPTED = Date.parse('2026-11-20T08:00:00.000+08:00')
const slot = { hospitalId: 'h-1', scheduleId: 's-1' }
const record = (event: Partial<BookingEvent>, rest: object = {}) =>
  ({ seq: 1, acceptedAt: ACCEPTED, bodyHash: '', event: { eventId: 'e-1', type: 'booking.requested', occurredAt: ACCEPTED - 60_000, ...event } satisfies BookingEvent, ...rest })

const held: Decision = {
  decision_id: 'd-1', event_id: 'e-1', order_id: 'o-1', decided_at: '2026-11-20T00:00:00.500Z', outcome: 'hold', basis: 'risk', score: null, reasons: [],
  hold: { hold_id: 'h-9', expires_at: '2026-11-20T00:30:00.500Z', on_expiry: 'return_to_pool' }, degraded: [], versions: { rules: 'r', model: null, policy: 'p' },
}

describe('what an event means for holds', () => {
  it('a decision with a hold places it, from when it was decided, with the expiry that the caller was told', () => {
    const hold = {
      holdId: 'h-9', eventId: 'e-1', orderId: 'o-1', hospitalId: 'h-1', scheduleId: 's-1',
      placedAt: Date.parse(held.decided_at), expiresAt: Date.parse('2026-11-20T00:30:00.500Z'), onExpiry: 'return_to_pool',
    }
    expect(effectsOfDecision({ event: record({ slot }).event }, held)).toEqual({ holds: [hold], cancellations: [] })
    expect(effectsOf(record({ slot }, { decision: JSON.stringify(held) }))).toEqual({ holds: [hold], cancellations: [] })
  })

  it('any other decision means nothing', () => {
    expect(effectsOf(record({ slot }, { decision: JSON.stringify({ ...held, outcome: 'allow', hold: undefined }) }))).toBeUndefined()
  })

  it.each(['booking.cancelled', 'booking.expired'] as const)('%s ends the holds of its order as of its acceptance, whatever time it tells', (type) => {
    expect(effectsOf(record({ type, orderId: 'o-1' }))).toEqual({ holds: [], cancellations: [{ orderId: 'o-1', reason: type, at: ACCEPTED }] })
  })

  it('a stopped schedule ends the holds on it', () => {
    expect(effectsOf(record({ type: 'schedule.stopped', slot }))).toEqual({ holds: [], cancellations: [{ hospitalId: 'h-1', scheduleId: 's-1', reason: 'schedule.stopped', at: ACCEPTED }] })
  })

  it.each(['booking.confirmed', 'booking.paid', 'booking.attended', 'schedule.released'] as const)('%s ends none', (type) => {
    expect(effectsOf(record({ type, orderId: 'o-1', slot }))).toBeUndefined()
  })

  it('nothing comes of what was brought in from the past', () => {
    expect(effectsOf(record({ slot }, { decision: JSON.stringify(held), backfilled: true }))).toBeUndefined()
    expect(effectsOf(record({ type: 'booking.cancelled', orderId: 'o-1' }, { backfilled: true }))).toBeUndefined()
  })
})
