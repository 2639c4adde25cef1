import type { DecisionLine, Label } from './input.js'
import { byText, byTime, groupBy, type Ask, type Booking, type Named, type Report } from './report.js'

export interface Joined { bookings: Booking[]; input: Omit<Report['input'], 'events'> }

type SharedLabel = Booking['label']
type Stored = Ask & { orderId: string }
/** Lines by event_id, what was repeated, and what was said twice in different words. */
interface Read<T> { byEvent: Map<string, T>; lines: number; duplicates: number; conflicts: Set<string> }

/** Names shown of each kind of trouble. */
const NAMED = 5

/**
 * Joins labels and decisions by event_id into orders. An order's label is that of its requests; a request without a label
 * counts with its order's others. Whatever contradicts itself is left out and named. The order of the lines means nothing.
 */
export async function join(labels: AsyncIterable<Label>, decisions: AsyncIterable<DecisionLine>): Promise<Joined> {
  const known = await readLabels(labels)
  const decided = await readDecisions(decisions)
  const isUsable = (eventId: string): boolean => decided.byEvent.has(eventId) && !decided.conflicts.has(eventId)
  const asks = [...decided.byEvent.values()].filter(({ eventId }) => !decided.conflicts.has(eventId))
  const bookings: Booking[] = []
  const [contradictory, unlabelled]: [string[], string[]] = [[], []]
  let byOrder = 0
  for (const [orderId, requests] of groupBy(asks, (ask) => ask.orderId)) {
    const found = requests.map(({ eventId }) => known.conflicts.has(eventId) ? undefined : known.byEvent.get(eventId))
    const label = found.find((one) => one !== undefined)
    if (label === undefined) { unlabelled.push(...requests.map(({ eventId }) => eventId)); continue }
    // Equal labels are one object.
    if (found.some((one) => one !== undefined && one !== label)) { contradictory.push(orderId); continue }
    byOrder += found.filter((one) => one === undefined).length
    bookings.push({ orderId, label, requests: requests.sort(byTime) })
  }
  return {
    bookings,
    input: {
      decisions: decided.lines, duplicate_decisions: decided.duplicates, conflicting_decisions: named(decided.conflicts),
      labels: known.lines, duplicate_labels: known.duplicates, conflicting_labels: named(known.conflicts),
      labels_without_decision: named([...known.byEvent.keys()].filter((eventId) => !isUsable(eventId))),
      decisions_without_label: named(unlabelled), decisions_labelled_by_order: byOrder, contradictory_orders: named(contradictory),
    },
  }
}

const named = (ids: Iterable<string>): Named => {
  const sorted = [...ids].sort(byText)
  return { count: sorted.length, ids: sorted.slice(0, NAMED) }
}

/** One object for all that are equal: a city has few different labels and reason lists, and millions of bookings. */
function sharing<T>(): (value: T) => T {
  const seen = new Map<string, T>()
  return (value) => {
    const key = JSON.stringify(value)
    const first = seen.get(key) ?? value
    seen.set(key, first)
    return first
  }
}

async function readLabels(labels: AsyncIterable<Label>): Promise<Read<SharedLabel>> {
  const share = sharing<SharedLabel>()
  const read: Read<SharedLabel> = { byEvent: new Map(), lines: 0, duplicates: 0, conflicts: new Set() }
  for await (const { eventId, ...label } of labels) take(read, eventId, share(label), (a, b) => a === b)
  return read
}

async function readDecisions(decisions: AsyncIterable<DecisionLine>): Promise<Read<Stored>> {
  const share = sharing<readonly string[]>()
  const read: Read<Stored> = { byEvent: new Map(), lines: 0, duplicates: 0, conflicts: new Set() }
  for await (const decision of decisions) take(read, decision.eventId, { ...decision, codes: share(decision.codes) }, isSame)
  return read
}

const isSame = (a: Stored, b: Stored): boolean =>
  a.orderId === b.orderId && a.decidedAt === b.decidedAt && a.outcome === b.outcome && a.basis === b.basis && a.codes === b.codes

function take<T>(read: Read<T>, eventId: string, value: T, same: (a: T, b: T) => boolean): void {
  read.lines++
  const first = read.byEvent.get(eventId)
  if (first === undefined) read.byEvent.set(eventId, value)
  else if (same(first, value)) read.duplicates++
  else read.conflicts.add(eventId)
}
