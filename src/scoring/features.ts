import type { FeatureValue, FeatureVector } from '../domain/decision.js'
import type { BookingRequest } from '../domain/event.js'
import { INDEX } from './catalogue.js'
import type { CustodyView } from './custody.js'
import type { Observed } from './observe.js'

const HOUR_MS = 3_600_000

/**
 * All features of one request: what it says itself, its identity, its order, its slot's chain, and the counters (already in
 * `observed.features`, which is extended). What cannot be told is left out; nothing is guessed and nothing missing is zero.
 */
export function assembleFeatures(event: BookingRequest, observed: Observed): FeatureVector {
  const out = observed.features
  requestFeatures(event, observed.boundAt, out)
  identityFeatures(event, out)
  out[INDEX.order_attempt] = observed.order?.attempt
  out[INDEX.order_confirmed] = observed.order?.confirmed
  out[INDEX.order_ended] = observed.order?.ended
  if (observed.custody) custodyFeatures(observed.custody, out)
  return out
}

type Out = (FeatureValue | undefined)[]
const since = (t: number, from: number | undefined, unitMs: number): number | undefined => (from === undefined ? undefined : (t - from) / unitMs)

function requestFeatures(event: BookingRequest, boundAt: number | undefined, out: Out): void {
  const { occurredAt: t, slot, session, account, patient, device, network } = event
  out[INDEX.channel_kind] = event.channel.kind
  out[INDEX.clinic] = slot.clinic
  out[INDEX.relation] = patient.relation
  out[INDEX.fee_fen] = slot.feeFen
  out[INDEX.lead_h] = slot.visitAt === undefined ? undefined : (slot.visitAt - t) / HOUR_MS
  out[INDEX.since_release_ms] = since(t, slot.releasedAt, 1)
  out[INDEX.session_s] = since(t, session?.openedAt, 1000)
  out[INDEX.page_views] = session?.pageViews
  out[INDEX.captcha_ms] = session?.captchaMs
  out[INDEX.account_age_h] = since(t, account?.registeredAt, HOUR_MS)
  out[INDEX.bound_for_s] = since(t, patient.boundAt ?? boundAt, 1000)
  out[INDEX.emulator] = device?.emulator
  out[INDEX.rooted] = device?.rooted
  out[INDEX.proxy] = network?.proxy
  out[INDEX.datacenter] = network?.datacenter
}

function identityFeatures({ patient, slot }: BookingRequest, out: Out): void {
  const { id, sex, age } = patient
  out[INDEX.id_type] = patient.idType
  out[INDEX.id_possible] = id?.possible
  out[INDEX.id_checksum_valid] = id?.checksumValid
  out[INDEX.id_sex_agrees] = id?.sexAgrees
  out[INDEX.id_birth_agrees] = id?.birthDateAgrees
  out[INDEX.id_province] = id?.province
  out[INDEX.name_valid] = patient.name?.valid
  out[INDEX.phone_valid] = patient.phone?.valid
  out[INDEX.phone_virtual] = patient.phone?.virtualOperator
  out[INDEX.age] = age
  out[INDEX.sex] = sex
  if (slot.sexLimit === 'any') out[INDEX.fits_sex_limit] = true
  else if (slot.sexLimit !== undefined && sex !== undefined) out[INDEX.fits_sex_limit] = slot.sexLimit === sex
  const limited = slot.ageMin !== undefined || slot.ageMax !== undefined
  if (limited && age !== undefined) out[INDEX.fits_age_limit] = age >= (slot.ageMin ?? 0) && age <= (slot.ageMax ?? Infinity)
}

function custodyFeatures({ hands, returns, reReleaseGapMs, handOff }: CustodyView, out: Out): void {
  out[INDEX.slot_hands] = hands
  out[INDEX.slot_returns] = returns
  out[INDEX.rerelease_gap_s] = reReleaseGapMs === undefined ? undefined : reReleaseGapMs / 1000
  if (!handOff) return
  out[INDEX.handoff_gap_s] = handOff.gapMs / 1000
  out[INDEX.handoff_cross_channel] = handOff.crossChannel
  out[INDEX.handoff_same_patient] = handOff.same.patient
  out[INDEX.handoff_shares_account] = handOff.same.account
  out[INDEX.handoff_shares_device] = handOff.same.device
  out[INDEX.handoff_shares_payer] = handOff.same.payer
  out[INDEX.handoff_shares_phone] = handOff.same.phone
  out[INDEX.handoff_shares_ip] = handOff.same.ip
  out[INDEX.handoff_shares_ip_prefix] = handOff.same.ip_prefix
  out[INDEX.handoff_shared] = handOff.shared
}
