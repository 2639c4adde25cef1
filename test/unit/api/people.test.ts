import { describe, expect, it } from 'vitest'
import { createWorld, request } from './support.js'

interface Problem { status: number; detail: string; errors?: { path: string; message: string }[]; hold?: Record<string, unknown> }
interface HoldPage { items: { hold_id: string; status: string }[]; next_cursor: string | null }

describe('GET /v1/decisions/{event_id}', () => {
  it('gives the booking core the bytes that were given out, and a reviewer the thresholds besides', async () => {
    const { call } = await createWorld()
    const given = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    const own = await call('GET', '/v1/decisions/e-1', 'booking_core')
    expect([own.statusCode, own.body]).toEqual([200, given.body])
    const review = await call('GET', '/v1/decisions/e-1', 'reviewer')
    expect(review.json()).toMatchObject({ event_id: 'e-1', review: {
      would_be: { outcome: 'hold' }, rule_hits: [{ comparisons: [{ operator: '<', threshold: 10, value: 2.4 }] }], features: { handoff_gap_s: 2.4 }, shadow_hits: [] } })
    expect(own.body).not.toContain('threshold')
  })

  it('is 404 for an event that is unknown or was no request', async () => {
    const { call } = await createWorld()
    await call('POST', '/v1/events', 'booking_core', [{ event_id: 'e-1', type: 'booking.paid' }])
    for (const id of ['e-1', 'e-2']) expect((await call('GET', `/v1/decisions/${id}`, 'reviewer')).statusCode).toBe(404)
  })

  it('finds an event id of 128 Chinese characters', async () => {
    const { call } = await createWorld()
    const id = '号'.repeat(128)
    await call('POST', '/v1/score', 'booking_core', request(id))
    expect((await call('GET', `/v1/decisions/${encodeURIComponent(id)}`, 'booking_core')).statusCode).toBe(200)
    expect((await call('GET', `/v1/decisions/${encodeURIComponent(`${id}x`)}`, 'booking_core')).statusCode).toBe(400)
  })
})

describe('holds', () => {
  it('lists them page by page, by status', async () => {
    const { call } = await createWorld()
    const first = (await call('GET', '/v1/holds?status=active&limit=2', 'reviewer')).json<HoldPage>()
    expect([first.items.map((h) => h.hold_id), first.next_cursor]).toEqual([['c', 'b'], '2'])
    const rest = (await call('GET', '/v1/holds?status=active&limit=2&cursor=2', 'reviewer')).json<HoldPage>()
    expect([rest.items.map((h) => h.hold_id), rest.next_cursor]).toEqual([['a'], null])
  })

  it.each([['status=open', '/status'], ['limit=0', '/limit'], ['limit=201', '/limit'], ['limit=ten', '/limit'], ['sort=x', '/sort'], ['cursor=', '/cursor']])(
    'refuses the query %s and names %s', async (query, path) => {
      const { call } = await createWorld()
      const answer = await call('GET', `/v1/holds?${query}`, 'reviewer')
      expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, path])
    })

  it('shows the booking core what to do with the order, not who decided and why', async () => {
    const { call } = await createWorld()
    await call('POST', '/v1/holds/a/reject', 'reviewer', { reason: 'same hands again' })
    const own = (await call('GET', '/v1/holds/a', 'booking_core')).json<Record<string, unknown>>()
    expect(own).toMatchObject({ hold_id: 'a', status: 'rejected', action: 'return_to_pool', on_expiry: 'confirm' })
    expect(own).not.toHaveProperty('reason')
    expect(own).not.toHaveProperty('resolved_by')
    expect((await call('GET', '/v1/holds/a', 'reviewer')).json()).toMatchObject({ resolved_by: 'k-reviewer', reason: 'same hands again', hospital_id: 'h-007' })
    expect((await call('GET', '/v1/holds/nope', 'reviewer')).statusCode).toBe(404)
  })

  it.each([['release', 'released', 'confirm'], ['reject', 'rejected', 'return_to_pool']])('%s ends it, once, and is audited', async (verb, status, action) => {
    const { call, audit } = await createWorld()
    const done = await call('POST', `/v1/holds/a/${verb}`, 'reviewer', { reason: 'seen the papers' })
    expect(done.json()).toMatchObject({ status, action, resolved_at: '2026-11-20T07:00:00.000Z' })
    expect(audit).toEqual([{ at: Date.parse('2026-11-20T07:00:00Z'), by: 'k-reviewer', action: `hold.${status}`, subject: 'a', detail: { reason: 'seen the papers' } }])
    expect((await call('POST', `/v1/holds/a/${verb}`, 'reviewer', { reason: 'seen the papers' })).body).toBe(done.body)
    const other = await call('POST', `/v1/holds/a/${verb === 'release' ? 'reject' : 'release'}`, 'risk_lead', { reason: 'I disagree' })
    expect([other.statusCode, other.json<Problem>().hold]).toMatchObject([409, { hold_id: 'a', status }])
    expect((await call('POST', `/v1/holds/nope/${verb}`, 'reviewer', { reason: 'x' })).statusCode).toBe(404)
  })

  it.each([[{}, '/reason'], [{ reason: '' }, '/reason'], [{ reason: 7 }, '/reason'], [{ reason: 'x', force: true }, '/force'], [[], ''], ['{', ''],
    [{ reason: 'call 13900000001' }, '/reason'], [{ reason: '证号110101198805041015' }, '/reason']])('refuses the body %j and names %j', async (body, path) => {
    const { call, holds } = await createWorld()
    const answer = await call('POST', '/v1/holds/a/release', 'reviewer', body)
    expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, path])
    expect(holds.get('a')?.status).toBe('active')
  })
})

describe('policies', () => {
  const patch = { enforcement: 'enforce', thresholds: { hold: 90 }, hold: { for_ms: 600_000 }, throttle: { wait_ms: 5_000 }, challenge_kind: 'sms', degraded_velocity: 'challenge' }

  it('shows what is in force, and what people set', async () => {
    const { call } = await createWorld()
    const before = await call('GET', '/v1/policies/h-007', 'risk_lead')
    expect(before.json()).toMatchObject({ hospital_id: 'h-007', override: null, revision: 0, version: 'p0', policy: { enforcement: 'observe', hold: { for_ms: 1_800_000 } } })
    const after = await call('PUT', '/v1/policies/h-007', 'risk_lead', { ...patch, expected_revision: 0 })
    expect([after.statusCode, after.headers['etag']]).toEqual([200, '"1"'])
    expect(after.json()).toMatchObject({ override: patch, revision: 1, changed_by: 'k-risk_lead',
      policy: { enforcement: 'enforce', thresholds: { challenge: 40, throttle: 60, hold: 90 }, hold: { for_ms: 600_000, on_expiry: 'confirm' }, throttle: { wait_ms: 5_000, spacing_ms: 2_000 } } })
    expect((await call('GET', '/v1/policies/h-007', 'risk_lead')).body).toBe(after.body)
    expect((await call('GET', '/v1/policies/h-008', 'risk_lead')).json()).toMatchObject({ revision: 0 })
  })

  it('a stale write is 409, by body or by If-Match; the same write repeated is not', async () => {
    const { call } = await createWorld()
    const put = (body: unknown, headers?: Record<string, string>, role: 'risk_lead' | 'admin' = 'risk_lead') => call('PUT', '/v1/policies/h-007', role, body, headers)
    expect((await put({ enforcement: 'enforce' }, { 'if-match': '"0"' })).statusCode).toBe(200)
    expect((await put({ enforcement: 'enforce', expected_revision: 0 })).json()).toMatchObject({ revision: 1 })
    expect((await put({ enforcement: 'observe', expected_revision: 0 })).statusCode).toBe(409)
    expect((await put({ enforcement: 'enforce', expected_revision: 0 }, {}, 'admin')).statusCode).toBe(409)
    expect((await put({ enforcement: 'observe' }, { 'if-match': 'W/"1"' })).json()).toMatchObject({ revision: 2 })
    expect((await put({ enforcement: 'observe', expected_revision: 1 }, { 'if-match': '"2"' })).statusCode).toBe(400)
    expect((await put({}, { 'if-match': 'newest' })).statusCode).toBe(400)
    expect((await put({}, { 'if-match': '*' })).json()).toMatchObject({ revision: 3, override: {} })
  })

  it.each([[{ enforcement: 'maybe' }, '/enforcement'], [{ thresholds: { hold: '90' } }, '/thresholds/hold'], [{ thresholds: { deny: 1 } }, '/thresholds/deny'],
    [{ hold: { for_ms: 1 } }, '/hold/for_ms'], [{ forMs: 1 }, ''], [{ expected_revision: -1 }, '/expected_revision'], ['nonsense', ''],
    [{ thresholds: { hold: 1 } }, '/challenge_kind']])('refuses %j and names %s', async (body, path) => {
    const { call } = await createWorld()
    const answer = await call('PUT', '/v1/policies/h-007', 'risk_lead', body)
    expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, path])
    expect((await call('GET', '/v1/policies/h-007', 'risk_lead')).json()).toMatchObject({ revision: 0 })
  })
})
