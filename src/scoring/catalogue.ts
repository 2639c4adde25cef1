import type { Features, FeatureValue, FeatureVector } from '../domain/decision.js'
import type { CounterSpec } from './counters.js'

/** What rules may refer to: every feature the engine can compute, with its type. Generated, never written by hand. */
export type FeatureType = 'number' | 'bool' | 'string'
export interface FeatureSpec {
  name: string
  type: FeatureType
  unit: string
  meaning: string
  /** Tells of other bookings that were suspected: what rests on it must not make this one a reason to suspect others. */
  borrowed?: true
  /** Its place in every FeatureVector. */
  index: number
}
/** By name, in the order of their indexes. */
export type Catalogue = ReadonlyMap<string, FeatureSpec>

type Described<N extends string = string> = Omit<FeatureSpec, 'index'> & { name: N }
const feature = <N extends string>(name: N, type: FeatureType, unit: string, meaning: string): Described<N> => ({ name, type, unit, meaning })

/** Features that are not counters: what the event itself, the identity, the order and the slot's custody say. */
const STATIC = [
  // The request
  feature('channel_kind', 'string', '', 'app, web, mini_program, phone, kiosk, window or partner'),
  feature('clinic', 'string', '', 'ordinary, expert or special'),
  feature('relation', 'string', '', 'who the patient is to the account'),
  feature('fee_fen', 'number', 'fen', 'price of the slot'),
  feature('lead_h', 'number', 'h', 'from the request to the visit'),
  feature('since_release_ms', 'number', 'ms', 'since the first public release; negative before it'),
  feature('session_s', 'number', 's', 'from opening the session to the request'),
  feature('page_views', 'number', '', 'pages seen in the session before the request'),
  feature('captcha_ms', 'number', 'ms', 'time the captcha took'),
  feature('account_age_h', 'number', 'h', 'since the account was registered'),
  feature('bound_for_s', 'number', 's', 'since the patient was bound to the account'),
  feature('emulator', 'bool', '', 'the device is an emulator'),
  feature('rooted', 'bool', '', 'the device is rooted'),
  feature('proxy', 'bool', '', 'the address is a proxy or VPN'),
  feature('datacenter', 'bool', '', 'the address belongs to a data centre'),
  // The identity
  feature('id_type', 'string', '', 'WS 364 CV02.01.101'),
  feature('id_possible', 'bool', '', 'a resident ID whose form, region, birth date and checksum can exist'),
  feature('id_checksum_valid', 'bool', '', 'the resident ID ends in its checksum'),
  feature('id_sex_agrees', 'bool', '', 'stated sex equals the one in the ID'),
  feature('id_birth_agrees', 'bool', '', 'stated birth date equals the one in the ID'),
  feature('id_province', 'string', '', 'first two digits of the resident ID'),
  feature('name_valid', 'bool', '', 'the name has the form of a person\'s name'),
  feature('phone_valid', 'bool', '', 'the phone number has a valid form'),
  feature('phone_virtual', 'bool', '', 'the phone belongs to a virtual operator'),
  feature('age', 'number', 'years', 'at the visit'),
  feature('sex', 'string', '', 'M or F'),
  feature('fits_sex_limit', 'bool', '', 'the patient\'s sex is one the slot takes'),
  feature('fits_age_limit', 'bool', '', 'the patient\'s age is one the slot takes'),
  // The order
  feature('order_attempt', 'number', '', 'which request of this order_id this is, from 1'),
  feature('order_confirmed', 'bool', '', 'a confirmation of this order has arrived'),
  feature('order_ended', 'bool', '', 'a cancel or expiry of this order has arrived that no later request of it has overtaken'),
  // The slot's chain of hands
  feature('slot_hands', 'number', '', 'orders that had asked for this slot before this one'),
  feature('slot_returns', 'number', '', 'times this slot was given back before'),
  feature('rerelease_gap_s', 'number', 's', 'from the latest re-release of this slot to the request'),
  feature('handoff_gap_s', 'number', 's', 'from the previous holder\'s cancel to this request'),
  feature('handoff_cross_channel', 'bool', '', 'given back on one channel, taken on another'),
  feature('handoff_same_patient', 'bool', '', 'the previous holder is the same patient'),
  feature('handoff_shares_account', 'bool', '', 'both orders came from one account'),
  feature('handoff_shares_device', 'bool', '', 'both orders came from one device'),
  feature('handoff_shares_payer', 'bool', '', 'both orders have one payer'),
  feature('handoff_shares_phone', 'bool', '', 'both patients have one phone'),
  feature('handoff_shares_ip', 'bool', '', 'both orders came from one address'),
  feature('handoff_shares_ip_prefix', 'bool', '', 'both orders came from one network'),
  feature('handoff_shared', 'number', '', 'how many of account, device, payer, phone the two orders share'),
]

/** Where each of them stands in a FeatureVector; the counters follow, in the order in which they are declared. */
export const INDEX = Object.fromEntries(STATIC.map(({ name }, i) => [name, i])) as Readonly<Record<(typeof STATIC)[number]['name'], number>>
export const FIRST_COUNTER = STATIC.length

/** The catalogue for a set of counters: the static features and one per counter and window. */
export function createCatalogue(counters: readonly CounterSpec[]): Catalogue {
  const velocity = counters.map((c) => ({ ...feature(c.feature, 'number', c.unit, c.meaning), ...(c.verb === 'booking.suspected' ? { borrowed: true as const } : {}) }))
  return new Map([...STATIC, ...velocity].map((f, index) => [f.name, { ...f, index }]))
}

/** Named values as a vector. Throws a RangeError for a name that is not in the catalogue. */
export function toVector(features: Features, catalogue: Catalogue): FeatureVector {
  const vector = emptyVector(catalogue.size)
  for (const [name, value] of Object.entries(features)) {
    const index = catalogue.get(name)?.index
    if (index === undefined) throw new RangeError(`'${name}' is no feature`)
    vector[index] = value
  }
  return vector
}

export const emptyVector = (size: number): (FeatureValue | undefined)[] => new Array<FeatureValue | undefined>(size).fill(undefined)
