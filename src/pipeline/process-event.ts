import type { Decision, Degraded } from '../domain/decision.js'
import { isBookingRequest, type BookingEvent } from '../domain/event.js'
import type { Journal } from '../ports/journal.js'
import type { Recorded } from '../ports/history-store.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import { decode } from '../scoring/decode.js'
import { countEvent, scoreRequest, type Rulebook, type Scored } from '../scoring/score.js'
import { toBookingEvent, type Tokeniser } from '../scoring/tokenise.js'
import { effectsOf, effectsOfDecision } from './effects.js'
import type { Enforcer } from './enforcer.js'
import type { Engine, Processed, Raw } from './engine.js'

export interface EngineDeps {
  tokeniser: Tokeniser
  timeZone: string
  /** Asked anew for each event: a rebuild puts another one in its place. */
  velocity: () => VelocityStore
  journal: Journal
  /** Absent in replay, where nothing is enforced. */
  enforcer?: Pick<Enforcer, 'submit' | 'applied'>
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
  const { tokeniser, timeZone, journal, enforcer, rulebook, maxInFlight = 20_000 } = deps

  return { process: route }

  // Nothing is awaited before the append (unless the velocity store is remote): arrival order is call order.
  async function route(raw: Raw): Promise<Processed> {
    const decoded = decode(raw.body, raw.requestOnly === true ? { requestOnly: true } : {})
    if (!decoded.ok) return { kind: 'rejected', status: 400, errors: decoded.errors, ...(decoded.eventId === undefined ? {} : { eventId: decoded.eventId }) }
    const bodyHash = tokeniser.bodyHash(decoded.canonical)
    const known = journal.find(decoded.input.event_id)
    if (known) return repeat(known, bodyHash, decoded.input.event_id)
    const event = toBookingEvent(decoded.input, tokeniser, timeZone)
    const untimely = raw.backfill === true ? undefined : checkTime(event)
    if (untimely) return untimely
    // Counted but not recorded would be the worst of both: nothing is touched once the journal is broken.
    if (journal.fault) throw journal.fault
    if (journal.pending >= maxInFlight || deps.isPaused?.() === true) return { kind: 'overloaded', retryAfterMs: RETRY_AFTER_MS }
    return accept(event, bodyHash, raw.backfill === true)
  }

  function accept(event: BookingEvent, bodyHash: string, backfill: boolean): Promise<Processed> {
    const acceptedAt = backfill ? event.occurredAt : deps.decidedAt(event)
    const entry = { acceptedAt, bodyHash, event, ...(backfill ? { backfilled: true as const } : {}) }
    const velocity = deps.velocity()
    const degraded: Degraded[] = velocity.incomplete ? ['velocity'] : []
    if (isBookingRequest(event)) {
      const scored = velocity.run(scoreRequest(rulebook(), event, acceptedAt, degraded, backfill))
      return scored instanceof Promise ? scored.then((s) => record(entry, s)) : record(entry, scored)
    }
    const counted = velocity.run(countEvent(rulebook(), event))
    return counted instanceof Promise ? counted.then(() => record(entry)) : record(entry)
  }

  async function record(entry: Omit<Recorded, 'seq'>, scored?: Scored): Promise<Processed> {
    const { event } = entry
    const bytes = scored && JSON.stringify(scored.decision)
    const { seq, durable } = journal.append(scored && bytes !== undefined ? { ...entry, decision: bytes, review: scored.review } : entry)
    const effects = scored ? effectsOfDecision(entry, scored.decision) : effectsOf({ seq, ...entry })
    deps.onProcessed?.(event, scored)
    await (effects && enforcer ? enforcer.submit(seq, durable, effects) : durable)
    if (!scored || bytes === undefined) return { kind: 'accepted', eventId: event.eventId, duplicate: false }
    return { kind: 'decided', eventId: event.eventId, bytes, decision: scored.decision, duplicate: false }
  }

  async function repeat(known: Promise<Recorded | undefined>, bodyHash: string, eventId: string): Promise<Processed> {
    const recorded = await known
    if (!recorded) return { kind: 'rejected', status: 410, eventId, errors: [{ path: '/event_id', message: 'an event with this id was decided too long ago to be repeated' }] }
    if (recorded.bodyHash !== bodyHash) return { kind: 'rejected', status: 409, eventId, errors: [{ path: '/event_id', message: 'an event with this id and another content was accepted before' }] }
    if (recorded.decision === undefined) return { kind: 'accepted', eventId, duplicate: true }
    const decision = JSON.parse(recorded.decision) as Decision
    // The first asker may still be waiting for its hold: a repeat must not overtake it.
    await enforcer?.applied(recorded.seq)
    return { kind: 'decided', eventId, bytes: recorded.decision, decision, duplicate: true }
  }

  function checkTime({ eventId, occurredAt }: BookingEvent): Processed | undefined {
    const window = deps.accepted?.()
    if (!window) return undefined
    if (occurredAt > window.notAfter) return { kind: 'rejected', status: 400, eventId, errors: [{ path: '/occurred_at', message: 'a time that is not ahead of the clock is expected' }] }
    if (occurredAt < window.notBefore) return { kind: 'rejected', status: 410, eventId, errors: [{ path: '/occurred_at', message: 'too long ago to tell whether this event was decided before; `zhenhao replay --record` takes old events' }] }
    return undefined
  }
}
