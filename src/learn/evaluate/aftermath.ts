import type { EventLine } from './input.js'
import { groupBy, isIntercepted, isScalper, lastOf, type Booking, type Slots } from './report.js'

export interface Aftermath { events: number; slots: Slots; /** By order_id, of patients' bookings that were intercepted. */ accounts: ReadonlyMap<string, string> }

/** What the events say of one order: the slot of its latest request, and whether it was confirmed or paid. */
interface Fate { at: number; slot?: string; isConfirmed: boolean }

/** Reads what became of the slots. The order of the events means nothing; events of orders that are not evaluated are passed over. */
export async function readAftermath(bookings: readonly Booking[], events: AsyncIterable<EventLine>): Promise<Aftermath> {
  const byOrder = new Map(bookings.map((booking) => [booking.orderId, booking]))
  const fates = new Map<string, Fate>()
  const accounts = new Map<string, string>()
  let count = 0
  let tellsConfirmations = false
  for await (const event of events) {
    count++
    if (event.kind === 'other') continue
    tellsConfirmations ||= event.kind === 'confirmed'
    const booking = byOrder.get(event.orderId)
    if (!booking) continue
    const fate = fates.get(event.orderId) ?? { at: -Infinity, isConfirmed: false }
    fates.set(event.orderId, fate)
    if (event.kind === 'confirmed') fate.isConfirmed = true
    else learn(booking, fate, event, accounts)
  }
  return { events: count, slots: slotsOf(bookings, fates, tellsConfirmations), accounts }
}

function learn(booking: Booking, fate: Fate, event: Extract<EventLine, { kind: 'requested' }>, accounts: Map<string, string>): void {
  const { at, slot, account } = event
  if (slot !== undefined && (at > fate.at || (at === fate.at && slot > (fate.slot ?? '')))) { fate.at = at; fate.slot = slot }
  if (account === undefined || isScalper(booking) || !isIntercepted(booking)) return
  // An order that changed accounts counts with the first by name, whatever came first.
  const known = accounts.get(booking.orderId)
  if (known === undefined || account < known) accounts.set(booking.orderId, account)
}

interface Claim { booking: Booking; slot: string; isConfirmed: boolean }

/**
 * A slot is given back when no intercepted scalper order of it was confirmed, and taken when a patient, asking later, was let
 * through and (where the events tell of confirmations at all) confirmed.
 */
function slotsOf(bookings: readonly Booking[], fates: ReadonlyMap<string, Fate>, tellsConfirmations: boolean): Slots {
  const slotOf = ({ orderId }: Booking): string | undefined => fates.get(orderId)?.slot
  const wanted = new Set(bookings.filter((booking) => isScalper(booking) && isIntercepted(booking)).map(slotOf))
  const claims = bookings.flatMap((booking): Claim[] => {
    const slot = slotOf(booking)
    return slot === undefined || !wanted.has(slot) ? [] : [{ booking, slot, isConfirmed: fates.get(booking.orderId)?.isConfirmed === true }]
  })
  const slots: Slots = { kept: 0, confirmed_all_the_same: 0, given_back: 0, taken_by_patients: 0 }
  for (const [, own] of groupBy(claims, ({ slot }) => slot)) {
    const stopped = own.filter(({ booking }) => isScalper(booking) && isIntercepted(booking))
    slots.kept++
    if (stopped.some(({ isConfirmed }) => isConfirmed)) { slots.confirmed_all_the_same++; continue }
    slots.given_back++
    const since = Math.min(...stopped.map(({ booking }) => lastOf(booking).decidedAt))
    const isTaken = own.some(({ booking, isConfirmed }) => !isScalper(booking) && !isIntercepted(booking)
      && lastOf(booking).decidedAt > since && (isConfirmed || !tellsConfirmations))
    if (isTaken) slots.taken_by_patients++
  }
  return slots
}
