import type { Decision } from '../domain/decision.js'
import { isBookingRequest, type BookingEvent } from '../domain/event.js'
import type { Recorded } from '../domain/record.js'
import type { Found, Recorder } from '../ports/recorder.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import { decode } from '../scoring/decode.js'
import { countEvent, scoreBlind, scoreRequest, type Circumstances, type Rulebook, type Scored } from '../scoring/score.js'
import { toBookingEvent, type Tokeniser } from '../scoring/tokenise.js'
import { effectsOf, effectsOfDecision } from './effects.js'
import type { Engine, Processed, Raw } from './engine.js'

export interface EngineDeps {
  tokeniser: Tokeniser
  timeZone: string
  /** Asked anew for each event: a rebuild puts another one in its place. */
  velocity: () => VelocityStore
  recorder: Recorder
  /** The rules, policies and counters in force now. */
  rulebook: () => Rulebook
  /** When an event is decided, epoch ms: the wall clock live, the event's own time in replay. */
  decidedAt: (event: BookingEvent) => number
  /** Which occurrence times are taken, epoch ms; absent in replay, where all are. */
  accepted?: () => { notAfter: number; notBefore: number }
  /** Most events between acceptance and durability; more are turned away at once. */
  maxInFlight?: number
  /** True while nothing may be accepted for a moment. */
  isPaused?: () => boolean
  /** The velocity store failed; its event is decided without it and counted later. */
  onUncounted?: (fault: unknown) => void
  /** Called once per new event, for metrics. */
  onProcessed?: (event: BookingEvent, scored: Scored | undefined) => void
}

/** Advice to a caller that was turned away: the time it takes to work off what is in hand. */
const RETRY_AFTER_MS = 1_000

/**
 * The route of one booking:
 *
 *   decode -> tokenise -> velocity -> features -> rules -> model -> decide -> record -> enforce
 *
 * (velocity to decide are one conversation with the velocity store: `scoreRequest`). It is recorded before it is enforced:
 * the journal is the one truth that survives, holds are written from it, and a decision is given out when both are durable.
 */
export function createEngine(deps: EngineDeps): Engine {
  const { tokeniser, timeZone, recorder, rulebook, maxInFlight = 20_000 } = deps

  return { process: route }

  // Nothing is awaited before a new event is recorded (unless stores are remote): arrival order is call order.
  async function route(raw: Raw): Promise<Processed> {
    const decoded = decode(raw.body, raw.requestOnly === true ? { requestOnly: true } : {})
    if (!decoded.ok) return { kind: 'rejected', status: 400, errors: decoded.errors, ...(decoded.eventId === undefined ? {} : { eventId: decoded.eventId }) }
    const bodyHash = tokeniser.bodyHash(decoded.canonical)
    const asked = recorder.find(decoded.input.event_id, bodyHash)
    const known = asked && await asked
    if (known) return repeat(known, bodyHash, decoded.input.event_id)
    const event = toBookingEvent(decoded.input, tokeniser, timeZone)
    const untimely = raw.backfill === true ? undefined : checkTime(event)
    if (untimely) return untimely
    // Counted but not recorded would be the worst of both: nothing is touched once the journal is broken.
    if (recorder.fault) throw recorder.fault
    if (recorder.pending >= maxInFlight || deps.isPaused?.() === true) return { kind: 'overloaded', retryAfterMs: RETRY_AFTER_MS }
    return accept(event, bodyHash, raw.backfill === true)
  }

  function accept(event: BookingEvent, bodyHash: string, backfill: boolean): Promise<Processed> {
    const acceptedAt = backfill ? event.occurredAt : deps.decidedAt(event)
    const entry = { acceptedAt, bodyHash, event, ...(backfill ? { backfilled: true as const } : {}) }
    const velocity = deps.velocity()
    // Before anything is counted: what is lost meanwhile is lost under this name.
    const { generation } = velocity
    const counted = (scored?: Scored): Promise<Processed> => record(generation === undefined ? entry : { ...entry, countedIn: generation }, scored)
    if (isBookingRequest(event)) {
      const circumstances: Circumstances = { decidedAt: acceptedAt, degraded: velocity.incomplete ? ['velocity'] : [], observeOnly: backfill }
      const scored = velocity.run(scoreRequest(rulebook(), event, circumstances))
      if (!(scored instanceof Promise)) return counted(scored)
      return scored.then(counted, (fault: unknown) => uncounted(fault, entry, scoreBlind(rulebook(), event, circumstances)))
    }
    const counting = velocity.run(countEvent(rulebook(), event))
    return counting instanceof Promise ? counting.then(() => counted(), (fault: unknown) => uncounted(fault, entry)) : counted()
  }

  /** A velocity store that does not answer must not stop bookings. The record names no generation: its event is still to be counted. */
  function uncounted(fault: unknown, entry: Omit<Recorded, 'seq'>, scored?: Scored): Promise<Processed> {
    deps.onUncounted?.(fault)
    return record(entry, scored)
  }

  async function record(entry: Omit<Recorded, 'seq'>, scored?: Scored): Promise<Processed> {
    const { event, bodyHash } = entry
    const bytes = scored && JSON.stringify(scored.decision)
    const whole = scored && bytes !== undefined ? { ...entry, ...(scored.suspected ? { suspected: true as const } : {}), decision: bytes, review: scored.review } : entry
    const recording = recorder.record(whole, scored ? effectsOfDecision(entry, scored.decision) : effectsOf(entry))
    deps.onProcessed?.(event, scored)
    const first = await recording
    if (first) return repeat(first, bodyHash, event.eventId)
    if (!scored || bytes === undefined) return { kind: 'accepted', eventId: event.eventId, duplicate: false }
    return { kind: 'decided', eventId: event.eventId, bytes, decision: scored.decision, duplicate: false }
  }

  function repeat(known: Found, bodyHash: string, eventId: string): Processed {
    if (known === 'forgotten') return { kind: 'rejected', status: 410, eventId, errors: [{ path: '/event_id', message: 'an event with this id was decided too long ago to be repeated' }] }
    if (known.bodyHash !== bodyHash) return { kind: 'rejected', status: 409, eventId, errors: [{ path: '/event_id', message: 'an event with this id and another content was accepted before' }] }
    if (known.decision === undefined) return { kind: 'accepted', eventId, duplicate: true }
    return { kind: 'decided', eventId, bytes: known.decision, decision: JSON.parse(known.decision) as Decision, duplicate: true }
  }

  function checkTime({ eventId, occurredAt }: BookingEvent): Processed | undefined {
    const window = deps.accepted?.()
    if (!window) return undefined
    if (occurredAt > window.notAfter) return { kind: 'rejected', status: 400, eventId, errors: [{ path: '/occurred_at', message: 'a time that is not ahead of the clock is expected' }] }
    if (occurredAt < window.notBefore) return { kind: 'rejected', status: 410, eventId, errors: [{ path: '/occurred_at', message: 'too long ago to tell whether this event was decided before; `zhenhao replay --record` takes old events' }] }
    return undefined
  }
}
