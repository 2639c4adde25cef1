import { createBLAKE3 } from 'hash-wasm'
import { describe, expect, it } from 'vitest'
import type { BookingEvent } from '../../../src/domain/event.js'
import { decode } from '../../../src/scoring/decode.js'
import { createTokeniser, toBookingEvent } from '../../../src/scoring/tokenise.js'
import { request, requestWith, SECRETS } from './door-fixture.js'

const ZONE = 'Asia/Shanghai'
/** The key of the official BLAKE3 test vectors (test_vectors.json of the BLAKE3 team). */
const KEY = new TextEncoder().encode('whats the Elvish word for friend')
const tokeniser = await createTokeniser(KEY)

function behindTheDoor(json: unknown): BookingEvent {
  const decoded = decode({ json })
  return decoded.ok ? toBookingEvent(decoded.input, tokeniser, ZONE) : expect.fail(JSON.stringify(decoded.errors))
}
const with_ = (pointer: string, value: unknown): BookingEvent => behindTheDoor(requestWith(pointer, value))

describe('The tokeniser', () => {
  it('stands on a BLAKE3 that gives the official keyed vectors', async () => {
    const hasher = await createBLAKE3(128, KEY)
    expect(hasher.init().digest('hex')).toBe('92b2b75604ed3c761f9d6f62392c8a92')
    expect(hasher.init().update(new Uint8Array([0])).digest('hex')).toBe('6d7878dfff2f485635d39013278ae14f')
  })

  it('gives with its reused hasher what a fresh one gives, whatever came before', async () => {
    for (const value of ['a', '', 'x'.repeat(5000), '测试甲', 'a']) {
      const fresh = (await createBLAKE3(128, KEY)).update(`name\0${value}`).digest('hex')
      expect(tokeniser.token('name', value)).toBe(fresh)
    }
  })

  it('gives 32 hex characters that differ by namespace, value and key', async () => {
    const other = await createTokeniser(new Uint8Array(32))
    const tokens = [tokeniser.token('account', '1'), tokeniser.token('device', '1'), tokeniser.token('account', '2'), other.token('account',
      '1'), tokeniser.bodyHash('1')]
    expect(new Set(tokens).size).toBe(tokens.length)
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{32}$/)
  })

  it('is refused a key of another length', async () => {
    await expect(createTokeniser(new Uint8Array(31))).rejects.toThrow(RangeError)
  })
})

describe('Behind the door', () => {
  it('nothing personal is left of a full request, nor any id of account, device, payer, seat or address', () => {
    const text = JSON.stringify(with_('/cancel', { by: 'patient', reason: 'private words' }))
    const raw = [...Object.values(SECRETS), 'a-81723', 'dv-55', 'p-771', 'op-12', '12580-0231', '112.17.3', '1990', 'private words']
    for (const value of raw) expect(text).not.toContain(value)
  })

  it('the event is typed, with epoch milliseconds and tokens of each namespace', () => {
    const { token } = tokeniser
    expect(behindTheDoor(request)).toEqual({
      eventId: 'e-000001',
      type: 'booking.requested',
      occurredAt: Date.parse('2026-11-20T07:00:00.412+08:00'),
      orderId: 'o-000001',
      channel: { id: 'wechat', kind: 'mini_program' },
      account: { token: token('account', 'a-81723'), registeredAt: Date.parse('2025-03-02T10:11:12+08:00') },
      patient: {
        token: token('patient', SECRETS.idNumber),
        idType: '01',
        id: { possible: true, checksumValid: true, prefixToken: token('id_prefix', SECRETS.idNumber.slice(0, 14)), province: '11', sexAgrees: true, birthDateAgrees: true },
        name: { token: token('name', SECRETS.name), valid: true },
        phone: { token: token('phone', SECRETS.phone), prefixToken: token('phone_prefix', '1380000'), virtualOperator: false, valid: true },
        sex: 'M', age: 36, relation: 'self', boundAt: Date.parse('2025-03-02T10:12:00+08:00'),
      },
      slot: {
        hospitalId: 'h-007', scheduleId: 's-1', departmentId: 'cardiology', doctorId: 'd-1021', clinic: 'expert', slotId: 's-1-07',
        visitAt: Date.parse('2026-11-27T09:00:00+08:00'), releasedAt: Date.parse('2026-11-20T07:00:00+08:00'), feeFen: 5000, sexLimit: 'any', ageMin: 0, ageMax: 150,
      },
      device: { token: token('device', 'dv-55'), model: 'M2012', os: 'android 13', appVersion: '5.2.1', emulator: false, rooted: false },
      network: { ipToken: token('ip', '112.17.3.4'), prefixToken: token('ip_prefix', '112.17.3'), proxy: false, datacenter: false },
      session: { id: 'ss-9', openedAt: Date.parse('2026-11-20T06:59:31+08:00'), pageViews: 3, captchaMs: 2300 },
      payer: { token: token('payer', 'p-771') },
      operator: { token: token('operator', 'op-12'), seatToken: token('seat', '12580-0231') },
    })
  })

  it('absent stays absent: a bare event has no other keys', () => {
    const event = behindTheDoor({ event_id: 'e', type: 'booking.paid', occurred_at: '2026-11-20T07:00:00Z', order_id: 'o' })
    expect(Object.keys(event)).toEqual(['eventId', 'type', 'occurredAt', 'orderId'])
  })

  it('a part without the ids that make it one is left out', () => {
    const bare = { event_id: 'e', type: 'slot.queried', occurred_at: '2026-11-20T07:00:00Z' }
    const parts = { channel: { id: 'c' }, account: {}, patient: { name: 'x' }, slot: { hospital_id: 'h' }, device: {},
      network: {}, session: {}, payer: {}, operator: {}, cancel: {}, verification: {} }
    expect(Object.keys(behindTheDoor({ ...bare, ...parts }))).toEqual(['eventId', 'type', 'occurredAt'])
  })

  it('a device or network without an id still tells what it is', () => {
    const event = behindTheDoor({ event_id: 'e', type: 'slot.queried', occurred_at: '2026-11-20T07:00:00Z', device: { emulator: true }, network: { proxy: true } })
    expect(event.device).toEqual({ emulator: true })
    expect(event.network).toEqual({ proxy: true })
  })

  it('the other members of lifecycle events arrive', () => {
    const bare = { event_id: 'e', occurred_at: '2026-11-20T07:00:00Z', order_id: 'o' }
    expect(behindTheDoor({ ...bare, type: 'booking.cancelled', cancel: { by: 'hospital' } }).cancel).toEqual({ by: 'hospital' })
    expect(behindTheDoor({ ...bare, type: 'verification.passed', verification: { kind: 'face' } }).verification).toEqual({ kind: 'face' })
    expect(behindTheDoor({ ...bare, type: 'schedule.released', count: 0, re_release: false })).toMatchObject({ count: 0, reRelease: false })
  })

  it('one person has one token, however the number, phone and name are written', () => {
    const written = { ...request.patient, id_number: ` ${SECRETS.idNumber.toLowerCase()} `, phone: '+86 138-0000-1234', name: ` ${SECRETS.name}` }
    expect(with_('/patient', written)).toEqual(behindTheDoor(request))
  })

  it('a caller\'s id_token is hashed in a namespace of its own and says nothing of the person', () => {
    const { patient } = with_('/patient', { id_type: '01', id_token: 'tok-9f2c' })
    expect(patient).toEqual({ token: tokeniser.token('patient_token', 'tok-9f2c'), idType: '01' })
  })

  it('stated sex and birth date win over the ID, and the disagreement shows', () => {
    const { patient } = with_('/patient', { ...request.patient, sex: 'F', birth_date: '1991-03-07' })
    expect(patient).toMatchObject({ sex: 'F', age: 35, id: { sexAgrees: false, birthDateAgrees: false } })
  })

  it('without stated sex and birth date both come from the ID, and nothing is said about agreement', () => {
    const { patient } = with_('/patient', { id_type: '01', id_number: SECRETS.idNumber })
    expect(patient).toMatchObject({ sex: 'M', age: 36 })
    expect(Object.keys(patient?.id ?? {}).sort()).toEqual(['checksumValid', 'possible', 'prefixToken', 'province'])
  })

  it('age is that at the visit, or at the event when no visit is named', () => {
    const bornTheDayBefore = { ...request.patient, birth_date: '1990-11-26' }
    expect(with_('/patient', bornTheDayBefore).patient?.age).toBe(36)
    expect(behindTheDoor({ ...request, patient: bornTheDayBefore, slot: { ...request.slot, visit_at: undefined } }).patient?.age).toBe(35)
  })

  it('an ID of another type is not read as a resident ID', () => {
    const { patient } = with_('/patient', { id_type: '03', id_number: 'E12345678' })
    expect(patient).toEqual({ token: tokeniser.token('patient', 'E12345678'), idType: '03' })
  })

  it('an impossible ID is marked, and neither sex nor age are taken from it', () => {
    const { patient } = with_('/patient', { id_type: '01', id_number: '110101199003070012' })
    expect(patient).toMatchObject({ id: { possible: false, checksumValid: false, province: '11' } })
    expect(patient).not.toHaveProperty('age')
    expect(patient).not.toHaveProperty('sex')
  })

  it('an unknown relation reads as other', () => { expect(with_('/patient/relation', 'cousin').patient?.relation).toBe('other') })

  it('a phone without a digit is no phone', () => { expect(with_('/patient/phone', 'none').patient).not.toHaveProperty('phone') })

  it('labels that hold a long number are dropped', () => {
    const device = with_('/device', { id: 'dv', model: 'phone of 138-0000-1234', os: '110101199003070011', app_version: 'v13800001234' }).device
    expect(device).toEqual({ token: tokeniser.token('device', 'dv') })
    expect(with_('/session/id', SECRETS.phone).session).not.toHaveProperty('id')
  })

  it('addresses of one network share its token, in either spelling', () => {
    const network = (ip: string) => with_('/network/ip', ip).network
    expect(network('::ffff:112.17.3.4')).toEqual(network('112.17.3.4'))
    expect(network('112.17.3.9')?.prefixToken).toBe(network('112.17.3.4')?.prefixToken)
    expect(network('2001:db8:1:2::1')?.prefixToken).toBe(network('2001:DB8:1:ffff::9')?.prefixToken)
    expect(network('2001:db8:2::1')?.prefixToken).not.toBe(network('2001:db8:1::1')?.prefixToken)
  })
})
