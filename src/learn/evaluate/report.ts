import type { Basis, Outcome } from '../../domain/decision.js'
import type { Stage, Verdict } from './bars.js'
import type { Label, LabelKind } from './input.js'
import type { Interval, Rate } from './interval.js'

/** How many, and the first few by name (sorted: which they are does not depend on the order of the input). */
export interface Named { count: number; ids: readonly string[] }

/** One order, judged by its last request. Shared labels are one object. */
export interface Booking {
  orderId: string
  label: Omit<Label, 'eventId'>
  /** In order of decision; at least one. */
  requests: readonly Ask[]
}
export interface Ask { eventId: string; decidedAt: number; outcome: Outcome; basis: Basis; codes: readonly string[] }

/** A figure of scalpers beside the same of patients. */
export type Pair = Record<LabelKind, number>

export interface TacticRow { tactic: string; gangs: number; overall: Rate; after_first_10: Rate; too_few: boolean }
export interface GroupRow {
  group: string
  intercepted: Rate
  /** Let through in the end, but intercepted at an earlier request: friction, not counted as intercepted. */
  delayed: number
  /** Challenged at any of its requests. */
  challenged: Rate
  too_few: boolean
}
/** Over all gangs; one that was never stopped counts as later than any other, and a quantile that falls on it is null. */
export interface Quantiles { median: number | null; p90: number | null }
export interface Gangs { total: number; stopped: number; never: number; requests: Quantiles; minutes: Quantiles }

/** Distinct slots that were asked for by an intercepted scalper order. */
export interface Slots { kept: number; confirmed_all_the_same: number; given_back: number; taken_by_patients: number }

/** What `--json` prints. Shares are 0 to 1; all counts are of bookings (orders) unless they say otherwise. */
export interface Report {
  stage: Stage
  input: {
    decisions: number; duplicate_decisions: number; labels: number; duplicate_labels: number
    /** The same event_id with different words: errors; neither is counted. */
    conflicting_decisions: Named; conflicting_labels: Named
    labels_without_decision: Named
    /** Their order is known from another request's label (`count` leaves these out), or not at all: then it is not evaluated. */
    decisions_without_label: Named; decisions_labelled_by_order: number
    /** Orders with requests that are labelled differently: errors; not evaluated. */
    contradictory_orders: Named
    events: number
  }
  bookings: { total: number; scalper: number; legit: number; requests: number }
  interception: {
    true_positives: number; false_positives: number; false_negatives: number; true_negatives: number
    precision: Rate; recall: Rate; f1: number | null
    /** The same by a bootstrap of gangs and innocent clusters: wider, since bookings of one gang are not independent. */
    by_cluster: { precision: Interval | null; recall: Interval | null; f1: Interval | null; gangs: number; innocents_by: 'account' | 'order' }
  }
  held: Rate
  innocents: { overall: Rate; challenged: Rate; delayed: number; groups: GroupRow[]; worst: string | null }
  tactics: TacticRow[]
  gangs: Gangs
  /** Null without `--events`. */
  slots: Slots | null
  /** Intercepted by a published limit (basis `policy`): no interception in the figures above. */
  policy: Pair & { codes: (Pair & { code: string })[] }
  by_basis: (Pair & { basis: Basis; outcome: Outcome })[]
  matrix: Record<LabelKind, Record<Outcome, number>>
  reasons: (Pair & { code: string; precision: Rate })[]
  verdicts: Verdict[]
}

const STOPPING: readonly Outcome[] = ['throttle', 'hold', 'deny']
const stops = ({ outcome }: Ask): boolean => STOPPING.includes(outcome)
export const isInterception = (ask: Ask): boolean => stops(ask) && ask.basis !== 'policy'
export const isPolicyStop = (ask: Ask): boolean => stops(ask) && ask.basis === 'policy'
export const lastOf = ({ requests, orderId }: Booking): Ask => {
  const last = requests.at(-1)
  if (!last) throw new Error(`order ${orderId} has no request`)
  return last
}
export const isIntercepted = (booking: Booking): boolean => isInterception(lastOf(booking))
export const isScalper = (booking: Booking): boolean => booking.label.kind === 'scalper'

/** Code unit order, the same on every machine. */
export const byText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
/** The order in which requests were decided; event_id where two were decided in the same millisecond. */
export const byTime = (a: Ask, b: Ask): number => a.decidedAt - b.decidedAt || byText(a.eventId, b.eventId)

export function groupBy<T>(items: Iterable<T>, key: (item: T) => string): [key: string, items: T[]][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const name = key(item)
    const group = groups.get(name)
    if (group) group.push(item)
    else groups.set(name, [item])
  }
  return [...groups].sort(([a], [b]) => byText(a, b))
}
