import type { Person, Relation } from './people.js'
import { hash, KIND, share } from './random.js'
import { DAY_MS, MINUTE_MS, time, type Account, type Hand, type Wire } from './wire.js'
import type { World } from './world.js'

/** How a patient stands on a platform's account. */
export interface Binding { relation: Relation; boundAt: number }

/** A patient as requests carry it. Callers and walk-ins who have no account here are not bound: half of those calls say so. */
export function patientWire(person: Person, binding?: Binding): Wire {
  return {
    id_type: person.idType, id_number: person.idNumber, name: person.name, phone: person.phone, sex: person.sex, birth_date: person.birthDate,
    relation: binding?.relation, bound_at: binding && time(binding.boundAt),
  }
}

/** Bound before the city began: holders at once, others at some time since. */
export function boundLongAgo(world: World, account: Account, n: number, relation: Relation): Binding {
  const sinceMs = world.startMs - account.registeredAt
  const early = share(world.seed, KIND.bound, n)
  const boundAt = relation === 'self' && early < 0.8 ? account.registeredAt + Math.min(sinceMs / 2, (1 + hash(world.seed, KIND.bound, n, 1) % 9) * MINUTE_MS)
    : account.registeredAt + sinceMs * early
  return { relation, boundAt }
}

/** The members that account events carry. */
export const accountMembers = (hand: Hand): Wire => ({
  channel: hand.channel, account: hand.account && { id: hand.account.id, registered_at: time(hand.account.registeredAt) }, device: hand.device, network: hand.network,
})

export function register(world: World, hand: Hand): void { world.emit('account.registered', accountMembers(hand), hand.account?.id) }
export function bind(world: World, hand: Hand, patient: Wire): void { world.emit('patient.bound', { ...accountMembers(hand), patient }, hand.account?.id) }

/** Unbound some time after the visit was booked, from hours to days. */
export function unbindLater(world: World, hand: Hand, patient: Wire, days: number): void {
  world.at(world.now + days * DAY_MS, () => { world.emit('patient.unbound', { ...accountMembers(hand), patient }, hand.account?.id) })
}

/** A check of the person before a booking; nine in ten pass at once. */
export function verify(world: World, hand: Hand, patient: Wire, kind: 'face' | 'sms' | 'captcha' | 'id_document', passes: boolean): void {
  world.emit(passes ? 'verification.passed' : 'verification.failed', { ...accountMembers(hand), patient, verification: { kind } }, hand.account?.id)
}
