import type { FeatureValue, Features } from '../domain/decision.js'
import type { BookingRequest } from '../domain/event.js'
import type { CustodyView } from './custody.js'
import type { Observed } from './observe.js'

const HOUR_MS = 3_600_000

/**
 * All features of one request: what it says itself, its identity, its order, its slot's chain, and the counters (already in
 * `observed.features`, which is extended). What cannot be told is left out; nothing is guessed and nothing missing is zero.
 */
export function assembleFeatures(event: BookingRequest, observed: Observed): Features {
  const out = observed.features
  const put = (name: string, value: FeatureValue | undefined): void => { if (value !== undefined) out[name] = value }
  requestFeatures(event, observed.boundAt, put)
  identityFeatures(event, put)
  out['order_attempt'] = observed.order.attempt
  out['order_confirmed'] = observed.order.confirmed
  out['order_ended'] = observed.order.ended
  if (observed.custody) custodyFeatures(observed.custody, put)
  return out
}

type Put = (name: string, value: FeatureValue | undefined) => void
const since = (t: number, from: number | undefined, unitMs: number): number | undefined => (from === undefined ? undefined : (t - from) / unitMs)

function requestFeatures(event: BookingRequest, boundAt: number | undefined, put: Put): void {
  const { occurredAt: t, slot, session, account, patient, device, network } = event
  put('channel_kind', event.channel.kind)
  put('clinic', slot.clinic)
  put('relation', patient.relation)
  put('fee_fen', slot.feeFen)
  put('lead_h', slot.visitAt === undefined ? undefined : (slot.visitAt - t) / HOUR_MS)
  put('since_release_ms', since(t, slot.releasedAt, 1))
  put('session_s', since(t, session?.openedAt, 1000))
  put('page_views', session?.pageViews)
  put('captcha_ms', session?.captchaMs)
  put('account_age_h', since(t, account?.registeredAt, HOUR_MS))
  put('bound_for_s', since(t, patient.boundAt ?? boundAt, 1000))
  put('emulator', device?.emulator)
  put('rooted', device?.rooted)
  put('proxy', network?.proxy)
  put('datacenter', network?.datacenter)
}

function identityFeatures({ patient, slot }: BookingRequest, put: Put): void {
  const { id, sex, age } = patient
  put('id_type', patient.idType)
  put('id_possible', id?.possible)
  put('id_checksum_valid', id?.checksumValid)
  put('id_sex_agrees', id?.sexAgrees)
  put('id_birth_agrees', id?.birthDateAgrees)
  put('id_province', id?.province)
  put('name_valid', patient.name?.valid)
  put('phone_valid', patient.phone?.valid)
  put('phone_virtual', patient.phone?.virtualOperator)
  put('age', age)
  put('sex', sex)
  if (slot.sexLimit === 'any') put('fits_sex_limit', true)
  else if (slot.sexLimit !== undefined && sex !== undefined) put('fits_sex_limit', slot.sexLimit === sex)
  const limited = slot.ageMin !== undefined || slot.ageMax !== undefined
  if (limited && age !== undefined) put('fits_age_limit', age >= (slot.ageMin ?? 0) && age <= (slot.ageMax ?? Infinity))
}

function custodyFeatures({ hands, returns, reReleaseGapMs, handOff }: CustodyView, put: Put): void {
  put('slot_hands', hands)
  put('slot_returns', returns)
  put('rerelease_gap_s', reReleaseGapMs === undefined ? undefined : reReleaseGapMs / 1000)
  if (!handOff) return
  put('handoff_gap_s', handOff.gapMs / 1000)
  put('handoff_cross_channel', handOff.crossChannel)
  put('handoff_same_patient', handOff.same.patient)
  put('handoff_shares_account', handOff.same.account)
  put('handoff_shares_device', handOff.same.device)
  put('handoff_shares_payer', handOff.same.payer)
  put('handoff_shares_phone', handOff.same.phone)
  put('handoff_shares_ip', handOff.same.ip)
  put('handoff_shares_ip_prefix', handOff.same.ip_prefix)
  put('handoff_shared', handOff.shared)
}
