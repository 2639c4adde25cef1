import type { Decision } from '../domain/decision.js'
import type { Recorded } from '../domain/record.js'
import type { Effects } from '../ports/recorder.js'

/** What a recorded event means for holds: a decision places one, a dead order or a stopped schedule ends some. */
export function effectsOf(record: Omit<Recorded, 'seq'>): Effects | undefined {
  const { event, decision, acceptedAt } = record
  if (record.backfilled) return undefined
  if (decision !== undefined) return effectsOfDecision(record, JSON.parse(decision) as Decision)
  if ((event.type === 'booking.cancelled' || event.type === 'booking.expired') && event.orderId !== undefined) {
    return { holds: [], cancellations: [{ orderId: event.orderId, reason: event.type, at: acceptedAt }] }
  }
  if (event.type === 'schedule.stopped' && event.slot) {
    return { holds: [], cancellations: [{ hospitalId: event.slot.hospitalId, scheduleId: event.slot.scheduleId, reason: event.type, at: acceptedAt }] }
  }
  return undefined
}

/** The same for a decision that is at hand as a value. */
export function effectsOfDecision({ event }: Pick<Recorded, 'event'>, decision: Decision): Effects | undefined {
  if (!decision.hold || !event.slot) return undefined
  return {
    holds: [{
      holdId: decision.hold.hold_id, eventId: event.eventId, orderId: decision.order_id, hospitalId: event.slot.hospitalId, scheduleId: event.slot.scheduleId,
      placedAt: Date.parse(decision.decided_at), expiresAt: Date.parse(decision.hold.expires_at), onExpiry: decision.hold.on_expiry,
    }],
    cancellations: [],
  }
}
