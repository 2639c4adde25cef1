import type { WireEvent } from '../support/traffic.js'

export type Road = 'http' | 'topic'

/** A hold as the decision that placed it says. Times are epoch milliseconds. */
export interface PlacedHold { holdId: string; eventId: string; orderId: string; hospital: string; expiresAt: number }

/** Distinct byte strings of one thing, and how often each road brought it. */
interface Seen { bytes: Set<string>; http: number; topic: number; callback: number }

/** What an outside client sent and was told, and what an outside consumer read: all that the judgement rests on. */
export interface Ledger {
  readonly sent: ReadonlyMap<string, WireEvent>
  /** By event id. */
  readonly decisions: ReadonlyMap<string, Seen>
  /** By hold id: the messages that ended it. */
  readonly endings: ReadonlyMap<string, Seen>
  readonly holds: ReadonlyMap<string, PlacedHold>
  /** By hold id: the state that a reviewer's call was answered with. */
  readonly deskAnswers: Map<string, string>
  /** Anything that must not be. */
  readonly violations: string[]
  noteSent(event: WireEvent): void
  noteDecision(road: Road, eventId: string, bytes: string): void
  noteEnding(by: 'topic' | 'callback', bytes: string): void
}

interface WireDecision { event_id: string; order_id: string; outcome: string; hold?: { hold_id: string; expires_at: string } }

/** `onHold` is called once for each hold, when its decision is first seen on any road. */
export function createLedger(onHold: (hold: PlacedHold) => void): Ledger {
  const sent = new Map<string, WireEvent>()
  const decisions = new Map<string, Seen>()
  const endings = new Map<string, Seen>()
  const holds = new Map<string, PlacedHold>()
  const violations: string[] = []
  const seenIn = (map: Map<string, Seen>, id: string): Seen => {
    const seen = map.get(id) ?? { bytes: new Set(), http: 0, topic: 0, callback: 0 }
    map.set(id, seen)
    return seen
  }

  return {
    sent, decisions, endings, holds, violations, deskAnswers: new Map(),
    noteSent(event) { sent.set(event.event_id, event) },
    noteDecision(road, eventId, bytes) {
      const seen = seenIn(decisions, eventId)
      seen[road]++
      seen.bytes.add(bytes)
      const { hold, order_id: orderId, event_id: inside } = JSON.parse(bytes) as WireDecision
      if (inside !== eventId) violations.push(`the decision for ${eventId} is one of ${inside}`)
      if (!hold || holds.has(hold.hold_id)) return
      const placed = { holdId: hold.hold_id, eventId, orderId, hospital: sent.get(eventId)?.slot?.hospital_id ?? '', expiresAt: Date.parse(hold.expires_at) }
      holds.set(hold.hold_id, placed)
      onHold(placed)
    },
    noteEnding(by, bytes) {
      const seen = seenIn(endings, (JSON.parse(bytes) as { hold_id: string }).hold_id)
      seen[by]++
      seen.bytes.add(bytes)
    },
  }
}
