import type { Hold } from '../domain/hold.js'
import type { Recorded } from '../domain/record.js'
import type { Cancellation } from './enforcement-store.js'

/** What a recorded event means for holds. */
export interface Effects { holds: Hold[]; cancellations: Cancellation[] }

/** As few groups as possible such that, within a group, holds may go before cancellations without changing the outcome. */
export function inOrder(effects: readonly Effects[]): Effects[] {
  const groups: Effects[] = []
  let current: Effects | undefined
  for (const { holds, cancellations } of effects) {
    if (!current || (holds.length > 0 && current.cancellations.length > 0)) groups.push((current = { holds: [], cancellations: [] }))
    current.holds.push(...holds)
    current.cancellations.push(...cancellations)
  }
  return groups
}

export type Found = Recorded | 'forgotten'

/** A quick memory of event ids that several processes share. It may forget: then the recorder's unique key decides. */
export interface Seen {
  /** Marks an id. `new` to exactly one caller as long as it remembers; `seen` to all others. */
  claim(eventId: string, bodyHash: string): Promise<'new' | 'seen'>
}

/**
 * Where the route puts what it decided, and where it asks whether an event was decided before. Embedded: the journal's files
 * with an enforcer behind them; over shared stores: one transaction in PostgreSQL, whatever process records.
 */
export interface Recorder {
  /**
   * What was accepted under this event id, in flight included; settles once it is durable and enforced. Undefined, or a
   * promise of it, when nothing is known: then it is new as far as can be told before it is recorded. `forgotten` when it was
   * accepted, but too long ago to be repeated.
   */
  find(eventId: string, bodyHash: string): Promise<Found | undefined> | undefined
  /**
   * Records an event with its effects. Resolves once both are durable: with undefined, or with what another process
   * recorded under the same event id first, which is then the answer. Throws or rejects, having recorded nothing, when
   * there is a `fault`.
   */
  record(entry: Omit<Recorded, 'seq'>, effects: Effects | undefined): Promise<Found | undefined>
  /** Records on their way: the measure for back-pressure. */
  readonly pending: number
  /** Why nothing can be recorded any more, by this process (a full disk, say). */
  readonly fault: Error | undefined
}
