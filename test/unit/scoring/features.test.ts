import { describe, expect, it } from 'vitest'
import type { FeatureValue } from '../../../src/domain/decision.js'
import type { BookingRequest } from '../../../src/domain/event.js'
import { createCatalogue, toVector } from '../../../src/scoring/catalogue.js'
import type { CustodyView } from '../../../src/scoring/custody.js'
import { assembleFeatures } from '../../../src/scoring/features.js'
import type { Observed } from '../../../src/scoring/observe.js'
import { parseCounters } from '../../../src/scoring/counters.js'
import { START_MS, tokenOf } from '../../support/event-streams.js'
import { named } from '../../support/features.js'

const { counters } = parseCounters('c.yaml', 'account:\n  orders: { of: booking.requested, as: orders, measure: count, windows: [24h] }')
const catalogue = createCatalogue(counters)
const [MINUTE, HOUR] = [60_000, 3_600_000]
const token = tokenOf('somebody')
const bare: BookingRequest = {
  eventId: 'e', type: 'booking.requested', occurredAt: START_MS, orderId: 'o', channel: { id: 'app', kind: 'app' },
  patient: { token, idType: '99' }, slot: { hospitalId: 'h', scheduleId: 's' },
}
const observedOf = (custody?: CustodyView, boundAt?: number): Observed =>
  ({ features: [...toVector({ account_orders_24h: 3 }, catalogue)], saturated: [], order: { attempt: 2, confirmed: false, ended: true, turnAt: undefined, saturated: false }, custody, boundAt })
const featuresOf = (event: BookingRequest, observed = observedOf()): Record<string, FeatureValue> => named(assembleFeatures(event, observed), catalogue)

describe('the features of a request', () => {
  it('that says only what it must are few: what it does not say is missing, not zero', () => {
    expect(featuresOf(bare)).toEqual({
      account_orders_24h: 3, channel_kind: 'app', id_type: '99', order_attempt: 2, order_confirmed: false, order_ended: true,
    })
  })

  it('that says everything are all in the catalogue, with its types', () => {
    const full: BookingRequest = {
      ...bare, account: { token, registeredAt: START_MS - 2 * HOUR }, device: { token, emulator: false, rooted: true }, session: { openedAt: START_MS - 20_000, pageViews: 0, captchaMs: 900 },
      network: { ipToken: token, prefixToken: token, proxy: true, datacenter: false },
      patient: {
        token, idType: '01', relation: 'self', sex: 'M', age: 40, boundAt: START_MS - MINUTE, name: { token, valid: true }, phone: { token, prefixToken: token, valid: true, virtualOperator: false },
        id: { possible: true, checksumValid: true, prefixToken: token, province: '11', sexAgrees: true, birthDateAgrees: false },
      },
      slot: { hospitalId: 'h', scheduleId: 's', clinic: 'expert', feeFen: 0, visitAt: START_MS + 12 * HOUR, releasedAt: START_MS + 5, sexLimit: 'F', ageMin: 41, ageMax: 150 },
    }
    const same = { account: true, device: false, payer: true, phone: false, patient: false, ip: true, ip_prefix: true }
    const features = featuresOf(full, observedOf({ hands: 2, returns: 1, reReleaseGapMs: 1_500, saturated: false, handOff: { gapMs: 250, crossChannel: true, same, shared: 2 } }))
    expect(features).toMatchObject({
      account_age_h: 2, bound_for_s: 60, session_s: 20, page_views: 0, lead_h: 12, since_release_ms: -5, fee_fen: 0, fits_sex_limit: false, fits_age_limit: false,
      slot_hands: 2, slot_returns: 1, rerelease_gap_s: 1.5, handoff_gap_s: 0.25, handoff_cross_channel: true, handoff_shares_account: true, handoff_shares_ip: true, handoff_shared: 2,
    })
    for (const [name, value] of Object.entries(features)) expect([name, catalogue.get(name)?.type === 'bool' ? 'boolean' : catalogue.get(name)?.type]).toEqual([name, typeof value])
    expect(Object.keys(features).length).toBe(catalogue.size)
  })

  it('date the binding by what the request says, else by what the stream saw', () => {
    expect(featuresOf({ ...bare, patient: { ...bare.patient, boundAt: START_MS - 9_000 } }, observedOf(undefined, START_MS - 1_000))['bound_for_s']).toBe(9)
    expect(featuresOf(bare, observedOf(undefined, START_MS - 1_000))['bound_for_s']).toBe(1)
  })

  it('check limits only when both sides are known', () => {
    const fits = (slot: Partial<BookingRequest['slot']>, patient: Partial<BookingRequest['patient']>): unknown[] => {
      const features = featuresOf({ ...bare, slot: { ...bare.slot, ...slot }, patient: { ...bare.patient, ...patient } })
      return [features['fits_sex_limit'], features['fits_age_limit']]
    }
    expect(fits({ sexLimit: 'any' }, {})).toEqual([true, undefined])
    expect(fits({ sexLimit: 'M', ageMin: 18 }, {})).toEqual([undefined, undefined])
    expect(fits({ sexLimit: 'M', ageMin: 18 }, { sex: 'M', age: 18 })).toEqual([true, true])
    expect(fits({ ageMax: 14 }, { age: 14 })).toEqual([undefined, true])
    expect(fits({ ageMax: 14 }, { age: 15 })).toEqual([undefined, false])
  })
})
