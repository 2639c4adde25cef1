import { describe, expect, it } from 'vitest'
import { addressCheck, refusalOf } from '../../../src/api/auth.js'
import { ROLES, SCOPES_OF, type Role, type Scope } from '../../../src/domain/access.js'
import { createWorld, request } from './support.js'

/** CONTRACT section 3, written out again: who may call what. The administration of a running server needs the admin's own scope. */
const TABLE: Record<string, Scope[] | 'public'> = {
  'GET /healthz': 'public', 'GET /readyz': 'public', 'GET /metrics': 'public', 'GET /openapi.json': 'public',
  'POST /v1/score': ['score'], 'POST /v1/score/batch': ['score'], 'POST /v1/events': ['score'],
  'GET /v1/decisions/:event_id': ['score', 'review'], 'GET /v1/holds/:hold_id': ['score', 'review'],
  'GET /v1/holds': ['review'], 'POST /v1/holds/:hold_id/release': ['review'], 'POST /v1/holds/:hold_id/reject': ['review'],
  'GET /v1/policies/:hospital_id': ['rules'], 'PUT /v1/policies/:hospital_id': ['rules'],
  'POST /v1/admin/backfill': ['keys'], 'POST /v1/admin/rebuild': ['keys'],
}
const may = (role: Role, scopes: Scope[] | 'public'): boolean => scopes === 'public' || scopes.some((scope) => SCOPES_OF[role].includes(scope))

describe('who may call what', () => {
  it('every registered route is in the contract\'s table, with its scopes', async () => {
    const { app } = await createWorld()
    expect(Object.fromEntries(app.routeTable.map(({ method, url, access }) => [`${method} ${url}`, access]))).toEqual(TABLE)
  })

  it('holds for every role on every route', async () => {
    const { app, call } = await createWorld()
    for (const { method, url } of app.routeTable) {
      const scopes = TABLE[`${method} ${url}`] ?? []
      const path = url.replace(/:\w+/, 'h-007')
      const nobody = await call(method as 'GET', path)
      expect(nobody.statusCode === 401, `${method} ${url} without a key`).toBe(scopes !== 'public')
      for (const role of ROLES) {
        const { statusCode } = await call(method as 'GET', path, role, method === 'GET' ? undefined : url.endsWith('/batch') ? [] : {})
        if (may(role, scopes)) expect([401, 403], `${role} ${method} ${url}`).not.toContain(statusCode)
        else expect(statusCode, `${role} ${method} ${url}`).toBe(403)
      }
    }
  })

  it('a route that does not say who may call it cannot be registered', async () => {
    const { app } = await createWorld()
    expect(() => app.get('/v1/open-by-mistake', () => 'hello')).toThrow('does not say who may call it')
  })

  it('a hospital\'s key reaches calls that name its hospital, and no other', () => {
    const credential = { caller: { id: 'k', role: 'hospital' as const, hospitalId: 'h-007' }, scopes: new Set<Scope>(['report']) }
    const refusal = (hospitalId: string | undefined): string | undefined => refusalOf(credential, ['report'], () => '127.0.0.1', hospitalId)
    expect(refusal('h-007')).toBeUndefined()
    expect(refusal('h-008')).toContain('another hospital')
    expect(refusal(undefined)).toContain('another hospital')
    expect(refusalOf({ ...credential, caller: { id: 'k', role: 'hospital' } }, ['report'], () => '127.0.0.1', 'h-007')).toContain('another hospital')
  })

  it('any key that is bound to a hospital gets 403 for another one over HTTP', async () => {
    const world = await createWorld()
    const lead = world.keys.find((key) => key.role === 'risk_lead')
    if (lead) lead.hospitalId = 'h-007'
    expect((await world.call('GET', '/v1/policies/h-007', 'risk_lead')).statusCode).toBe(200)
    expect((await world.call('GET', '/v1/policies/h-008', 'risk_lead')).statusCode).toBe(403)
    expect((await world.call('GET', '/v1/holds', 'risk_lead')).statusCode).toBe(403)
  })
})

describe('keys', () => {
  it('says how to authenticate when there is no key, and that a key is bad when it is', async () => {
    const { call } = await createWorld()
    const none = await call('GET', '/v1/holds')
    expect([none.statusCode, none.headers['www-authenticate'], none.headers['content-type']]).toEqual([401, 'Bearer', 'application/problem+json; charset=utf-8'])
    const bad = await call('GET', '/v1/holds', { secret: 'no-such-key' })
    expect([bad.statusCode, bad.headers['www-authenticate']]).toEqual([401, 'Bearer error="invalid_token"'])
    for (const authorization of ['Basic abc', 'Bearer ', `Bearer ${'x'.repeat(2_000)}`]) {
      expect((await call('GET', '/v1/holds', undefined, undefined, { authorization })).statusCode).toBe(401)
    }
  })

  it('asks the key store once in a while, not per call', async () => {
    const { call, clock, asked } = await createWorld({ keyCacheMs: 3_000 })
    await Promise.all([1, 2, 3].map((n) => call('POST', '/v1/score', 'booking_core', request(`e-${n}`))))
    await call('POST', '/v1/score', 'booking_core', request('e-4'))
    expect(asked.times).toBe(1)
    clock.now += 3_000
    await call('POST', '/v1/score', 'booking_core', request('e-5'))
    expect(asked.times).toBe(2)
  })

  it('a revoked key stops within 5 seconds', async () => {
    const { call, clock, keys } = await createWorld()
    expect((await call('GET', '/v1/holds', 'reviewer')).statusCode).toBe(200)
    const key = keys.find((k) => k.role === 'reviewer')
    if (key) key.revokedAt = clock.now
    clock.now += 5_000
    expect((await call('GET', '/v1/holds', 'reviewer')).statusCode).toBe(401)
  })

  it('may be bound to an address range, IPv4, IPv6 or mapped; an unreadable range lets nobody in', () => {
    expect(['10.1.2.3', '::ffff:10.1.2.3', '11.0.0.1', 'nonsense'].map(addressCheck('10.0.0.0/8'))).toEqual([true, true, false, false])
    expect(['2001:db8::1', '2001:db9::1'].map(addressCheck('2001:db8::/32'))).toEqual([true, false])
    expect(['10.0.0.1', '10.0.0.2'].map(addressCheck('10.0.0.1'))).toEqual([true, false])
    for (const cidr of ['', '10.0.0.0/', '10.0.0.0/33', 'everywhere', '10.0.0.0/x']) expect(addressCheck(cidr)('10.0.0.1'), cidr).toBe(false)
  })

  it('from outside its range it is 403, and a forged X-Forwarded-For does not help', async () => {
    const world = await createWorld()
    const key = world.keys.find((k) => k.role === 'reviewer')
    if (key) key.cidr = '10.0.0.0/8'
    expect((await world.call('GET', '/v1/holds', 'reviewer', undefined, { 'x-forwarded-for': '10.1.1.1' })).statusCode).toBe(403)
  })

  it('behind a trusted proxy the forwarded address is the caller\'s', async () => {
    const world = await createWorld({}, () => ({ trustProxy: ['127.0.0.1'] }))
    const key = world.keys.find((k) => k.role === 'reviewer')
    if (key) key.cidr = '10.0.0.0/8'
    expect((await world.call('GET', '/v1/holds', 'reviewer', undefined, { 'x-forwarded-for': '10.1.1.1' })).statusCode).toBe(200)
    expect((await world.call('GET', '/v1/holds', 'reviewer', undefined, { 'x-forwarded-for': '11.1.1.1' })).statusCode).toBe(403)
  })

  it('a key store that is away is 503, never a yes', async () => {
    const { call } = await createWorld({}, () => ({ access: { authenticate: () => Promise.reject(new Error('connection refused')) } }))
    const answer = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '1'])
  })
})

