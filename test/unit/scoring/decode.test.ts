import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, MAX_EVENT_BYTES, type Decoded } from '../../../src/scoring/decode.js'
import { canonicalJson } from '../../../src/scoring/json.js'
import { request, requestWith, SECRETS } from './door-fixture.js'

/** The RFC 8785 reference; its types do not fit its CommonJS export, hence require. */
const reference = createRequire(import.meta.url)('canonicalize') as (value: unknown) => string

const text = (value: unknown): string => JSON.stringify(value)
const paths = (decoded: Decoded): string[] => decoded.ok ? ['none'] : decoded.errors.map((error) => error.path)
const canonicalOf = (decoded: Decoded): string => decoded.ok ? decoded.canonical : expect.fail(text(decoded.errors))
const inputOf = (decoded: Decoded) => decoded.ok ? decoded.input : expect.fail(text(decoded.errors))

describe('A good event', () => {
  it('passes with all its fields, from bytes, text and parsed JSON alike', () => {
    for (const body of [Buffer.from(text(request)), text(request), { json: request }]) {
      expect(inputOf(decode(body))).toEqual(request)
    }
  })

  it('leaves unknown fields behind at every level, __proto__ and constructor included', () => {
    const odd = text(request).replace('{', '{"__proto__":{"x":1},"constructor":1,').replace('"id":"dv-55"',
      '"id":"dv-55","__proto__":{"y":2},"imei":"1"')
    expect(canonicalOf(decode(odd))).toBe(canonicalOf(decode(text(request))))
    expect(text(inputOf(decode(odd)))).not.toContain('imei')
  })

  it('does not change the JSON value it was given', () => {
    const json = { ...structuredClone(request), extra: { deep: [1] } }
    const before = structuredClone(json)
    decode({ json })
    expect(json).toEqual(before)
  })

  it('has one canonical form, RFC 8785 of the known fields, whatever the order of its members', () => {
    const reversed = Object.fromEntries(Object.entries({ ...request, unknown: 1 }).reverse())
    expect(canonicalOf(decode({ json: reversed }))).toBe(reference(request))
  })

  it('has a canonical form over free-form members too', () => {
    const report = { type: 'abuse.reported', event_id: 'e', occurred_at: request.occurred_at, subject: { 10: 'b', 9: ['é', { z: 1, a: 1e21 }] },
      report: 'text' }
    expect(canonicalOf(decode({ json: report }))).toBe(reference(report))
  })

  it('keeps its meaning inside a CloudEvents 1.0 envelope, as data or as base64', () => {
    const envelope = { specversion: '1.0', id: 'x', source: '/core', type: 'booking' }
    const bare = canonicalOf(decode(text(request)))
    expect(canonicalOf(decode(text({ ...envelope, data: request })))).toBe(bare)
    expect(canonicalOf(decode(text({ ...envelope, data_base64: Buffer.from(text(request)).toString('base64') })))).toBe(bare)
  })

  it.each(['phone', 'kiosk', 'window'])('needs no account on a %s', (kind) => {
    expect(paths(decode({ json: { ...requestWith('/channel/kind', kind), account: undefined } }))).toEqual(['none'])
  })

  it('may carry an id_token in place of the id_number', () => {
    const patient = { id_type: '01', id_token: 'tok-9f2c' }
    expect(paths(decode({ json: requestWith('/patient', patient) }))).toEqual(['none'])
  })

  it.each(['booking.confirmed', 'booking.cancelled', 'booking.no_show'])('of type %s needs only its order', (type) => {
    const event = { event_id: 'e', type, occurred_at: request.occurred_at, order_id: 'o' }
    expect(paths(decode({ json: event }))).toEqual(['none'])
    expect(paths(decode({ json: { ...event, order_id: undefined } }))).toEqual(['/order_id'])
  })

  it('may have any relation, and an empty reason of a cancel', () => {
    expect(paths(decode({ json: requestWith('/patient/relation', 'cousin') }))).toEqual(['none'])
    expect(paths(decode({ json: requestWith('/cancel', { by: 'patient', reason: '' }) }))).toEqual(['none'])
  })
})

describe('A missing member of a request is named', () => {
  it.each([
    ['/event_id'], ['/type'], ['/occurred_at'], ['/order_id'], ['/channel'], ['/channel/id'], ['/channel/kind'], ['/account'], ['/account/id'],
    ['/patient'], ['/patient/id_type'], ['/patient/id_number'], ['/slot'], ['/slot/hospital_id'], ['/slot/schedule_id'],
  ])('as %s', (pointer) => {
    expect(paths(decode(text(requestWith(pointer, undefined))))).toEqual([pointer])
  })

  it('and everything that is wrong is named at once', () => {
    const found = paths(decode({ json: { type: 'booking.requested', slot: { fee_fen: '1' } } }))
    expect(found.sort()).toEqual(['/account', '/channel', '/event_id', '/occurred_at', '/order_id', '/patient', '/slot/fee_fen',
      '/slot/hospital_id', '/slot/schedule_id'])
  })
})

describe('A wrong value is named', () => {
  it.each([
    ['/event_id', ''], ['/event_id', 'x'.repeat(129)], ['/event_id', 7], ['/event_id', 'a\u0000b'], ['/order_id', '\ud800'],
    ['/type', 'booking.teleported'], ['/occurred_at', 'yesterday'], ['/occurred_at', '2026-11-20T07:00:00'], ['/occurred_at', '2026-02-30T07:00:00Z'],
    ['/slot/released_at', '2026-11-20 07:00:00+08:00'], ['/slot/fee_fen', 'fifty'], ['/slot/fee_fen', -1], ['/slot/fee_fen', 1.5],
    ['/slot/fee_fen', 2e9],
    ['/slot/clinic', 'vip'], ['/slot/age_max', 999], ['/channel', 'wechat'], ['/channel/kind', 'fax'], ['/network/ip', '999.1.1.1'],
    ['/network/proxy', 'no'],
    ['/patient', null], ['/patient/birth_date', '1990-02-30'], ['/patient/sex', 'X'], ['/patient/id_type', '110101199003070011'],
    ['/patient/id_number', ' - '],
    ['/device', []], ['/device/emulator', 1], ['/session/captcha_ms', -5], ['/cancel', { by: 'nobody' }], ['/verification', { kind: 'voice' }],
  ])('at %s (%j)', (pointer, value) => {
    const [path] = paths(decode(text(requestWith(pointer, value))))
    expect(path?.startsWith(pointer)).toBe(true)
  })

  it('when it is an id_token that looks like an ID number or a phone, or stands beside an id_number', () => {
    for (const idToken of [SECRETS.idNumber, SECRETS.idNumber.toLowerCase(), '110101900307001', '+86 138-0000-1234', '１３８００００１２３４']) {
      expect(paths(decode({ json: requestWith('/patient', { id_type: '01', id_token: idToken }) }))).toEqual(['/patient/id_token'])
    }
    expect(paths(decode({ json: requestWith('/patient/id_token', 'tok-9f2c') }))).toEqual(['/patient/id_token'])
  })

  it('when an id that is kept as it is holds the patient\'s ID number or phone', () => {
    expect(paths(decode({ json: requestWith('/order_id', `o-${SECRETS.phone}-1`) }))).toEqual(['/order_id'])
    const refused = decode({ json: requestWith('/event_id', `e-${SECRETS.idNumber.toLowerCase()}`) })
    expect(refused).toMatchObject({ errors: [{ path: '/event_id' }] })
    expect(refused).not.toHaveProperty('eventId')
  })

  it('when only requests will do and it is another type', () => {
    const event = { event_id: 'e', type: 'booking.paid', occurred_at: request.occurred_at, order_id: 'o' }
    expect(decode({ json: event }, { requestOnly: true })).toMatchObject({ ok: false, eventId: 'e', errors: [{ path: '/type' }] })
    expect(decode({ json: request }, { requestOnly: true }).ok).toBe(true)
    expect(paths(decode({ json: requestWith('/type', 'x') }, { requestOnly: true }))).toEqual(['/type'])
  })

  it('with the envelope in its path', () => {
    const envelope = { specversion: '1.0', id: 'x' }
    expect(paths(decode(text({ ...envelope, data: requestWith('/slot/schedule_id', undefined) })))).toEqual(['/data/slot/schedule_id'])
    expect(paths(decode(text(envelope)))).toEqual(['/data'])
    expect(paths(decode(text({ ...envelope, data_base64: '***' })))).toEqual(['/data_base64'])
    expect(paths(decode(text({ ...envelope, data_base64: Buffer.from('{').toString('base64') })))).toEqual(['/data_base64'])
    expect(paths(decode(text({ ...envelope, specversion: '0.3', data: request })))).toEqual(['/specversion'])
  })
})

describe('What is no event at all is refused as a whole', () => {
  const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`
  it.each([
    ['broken JSON', '{"event_id":"e-1","patient":{"name":"测试甲"'], ['an empty text', ''], ['an array', '[1,2,3]'], ['a number', '7'], ['null',
    'null'], ['a text', '"x"'],
    ['deep nesting', deep(30_000)], ['deep nesting in an unknown field', `{"x":${deep(40)}}`],
    ['too many bytes', text({ ...request, pad: '一'.repeat(MAX_EVENT_BYTES / 3) })],
  ])('%s', (_, body) => {
    expect(paths(decode(body))).toEqual([''])
    expect(paths(decode(Buffer.from(body)))).toEqual([''])
  })

  it('bytes that are not UTF-8', () => {
    const bytes = Buffer.from(text(request))
    bytes[bytes.indexOf('wechat')] = 0xff
    expect(paths(decode(bytes))).toEqual([''])
  })
})

describe('The event id of a refused event', () => {
  it('is given when it is a valid one, for the dead letter', () => {
    expect(decode(text(requestWith('/patient', undefined)))).toMatchObject({ ok: false, eventId: 'e-000001' })
  })
  it.each([[''], [7], ['x'.repeat(129)], [undefined]])('is not given when it is %j', (value) => {
    expect(decode(text(requestWith('/event_id', value)))).not.toHaveProperty('eventId')
  })
})

describe('Whatever comes in', () => {
  const pointers = ['/event_id', '/type', '/occurred_at', '/order_id', ...['channel', 'account', 'patient', 'slot', 'device', 'network',
    'session', 'payer', 'operator']
    .flatMap((part) => [`/${part}`, ...Object.keys(request[part as 'slot']).map((name) => `/${part}/${name}`)])]
  const planted = 'planted-9d7e'
  const strange = fc.oneof(fc.jsonValue(), fc.constantFrom(planted, { [planted]: planted },
    [planted], `${planted}\u0000`), fc.string({ unit: 'binary' }))

  const check = (body: string | Buffer | { json: unknown }): void => {
    const decoded = decode(body)
    if (decoded.ok) return
    expect(decoded.errors.length).toBeGreaterThan(0)
    for (const { path, message } of decoded.errors) {
      expect(path).toMatch(/^(\/[a-z0-9_]+)*$/)
      for (const secret of [planted, ...Object.values(SECRETS)]) expect(path + message).not.toContain(secret)
    }
  }

  it('is decoded or refused with pointers and without values: any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), (json) => { check({ json }); check(JSON.stringify(json)) }), { numRuns: 500 })
  })

  it('is decoded or refused with pointers and without values: events with strange members', () => {
    fc.assert(fc.property(fc.constantFrom(...pointers), strange, fc.boolean(), (pointer, value, isWrapped) => {
      const event = requestWith(pointer, value)
      check(JSON.stringify(isWrapped ? { specversion: '1.0', data: event } : event))
    }), { numRuns: 2_000 })
  })

  it('is decoded or refused with pointers and without values: cut and overwritten bytes', () => {
    const bytes = Buffer.from(text(request))
    fc.assert(fc.property(fc.nat(bytes.length - 1), fc.uint8Array({ maxLength: 4 }), fc.boolean(), (at, patch, isCut) => {
      const mutated = Buffer.from(bytes)
      mutated.set(patch.subarray(0, bytes.length - at), at)
      check(isCut ? mutated.subarray(0, at) : mutated)
    }), { numRuns: 2_000 })
  })

  it('gets the canonical form that the RFC 8785 reference gives', () => {
    fc.assert(fc.property(fc.jsonValue(), (json) => { expect(canonicalJson(json)).toBe(reference(json)) }))
  })
})
