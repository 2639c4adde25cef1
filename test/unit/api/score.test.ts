import { describe, expect, it } from 'vitest'
import type { Processed } from '../../../src/pipeline/engine.js'
import { createGate, createWorld, request, SECRET_ID, SECRET_NAME, SECRET_PHONE } from './support.js'

interface Problem { type: string; title: string; status: number; detail: string; errors?: { path: string; message: string }[] }
const overloaded = (): Promise<Processed> => Promise.resolve({ kind: 'overloaded', retryAfterMs: 1_700 })

describe('POST /v1/score', () => {
  it('gives the engine the bytes as they came, and gives out the decision\'s bytes as they are', async () => {
    const { call, engine } = await createWorld()
    const body = `{ "event_id":"e-1",\n "type":"booking.requested" }`
    const answer = await call('POST', '/v1/score', 'booking_core', body)
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(answer.body).toContain('"outcome": "hold"')
    expect(Buffer.isBuffer(engine.bodies[0]) && engine.bodies[0].toString()).toBe(body)
  })

  it('gives a repeat the same bytes', async () => {
    const { call } = await createWorld()
    const first = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect((await call('POST', '/v1/score', 'booking_core', request('e-1'))).body).toBe(first.body)
  })

  it('takes only booking requests, and says so at /type', async () => {
    const { call } = await createWorld()
    const answer = await call('POST', '/v1/score', 'booking_core', { event_id: 'e-1', type: 'booking.paid' })
    expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, '/type'])
  })

  it.each([[400, 'bad-request'], [409, 'conflict'], [410, 'gone']] as const)('a refusal with %i is the problem %s with its errors', async (status, kind) => {
    const { call, engine } = await createWorld()
    engine.answer = () => Promise.resolve({ kind: 'rejected', status, errors: [{ path: '/slot', message: 'is missing' }] })
    const answer = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.json<Problem>()).toMatchObject({ type: `urn:zhenhao:problem:${kind}`, status, errors: [{ path: '/slot', message: 'is missing' }] })
    expect(answer.json<Problem>().title).not.toBe('')
    expect(answer.json<Problem>().detail).not.toBe('')
  })

  it.each(['{"event_id": "e-1', '', 'null'])('a body that is no event (%j) is 400 at the root', async (body) => {
    const { call } = await createWorld()
    const answer = await call('POST', '/v1/score', 'booking_core', body)
    expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, ''])
  })

  it('is 400 without a body, 415 for a type that is no JSON, 413 over the limit', async () => {
    const { call } = await createWorld()
    expect((await call('POST', '/v1/score', 'booking_core')).statusCode).toBe(400)
    for (const type of ['text/plain', 'application/xml', 'application/x-ndjson']) {
      const answer = await call('POST', '/v1/score', 'booking_core', '{}', { 'content-type': type })
      expect([answer.statusCode, answer.json<Problem>().status], type).toEqual([415, 415])
    }
    const large = await call('POST', '/v1/score', 'booking_core', `{"event_id":"${'x'.repeat(256 * 1024)}"}`)
    expect([large.statusCode, large.json<Problem>().type]).toEqual([413, 'urn:zhenhao:problem:too-large'])
  })

  it('takes a CloudEvents body', async () => {
    const { call } = await createWorld()
    expect((await call('POST', '/v1/score', 'booking_core', request('e-1'), { 'content-type': 'application/cloudevents+json' })).statusCode).toBe(200)
  })

  it('an engine with more than it can hold is 503 with its Retry-After in whole seconds', async () => {
    const { call, engine } = await createWorld()
    engine.answer = overloaded
    const answer = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '2'])
  })

  it('a store that is away is 503 with Retry-After, and its words reach neither the answer nor the log', async () => {
    const { call, engine, logged } = await createWorld()
    engine.answer = () => Promise.reject(new Error(`could not write ${SECRET_ID}`))
    const answer = await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect([answer.statusCode, answer.headers['retry-after'], answer.json<Problem>().type]).toEqual([503, '1', 'urn:zhenhao:problem:unavailable'])
    expect(answer.body + logged()).not.toContain(SECRET_ID)
    expect(logged()).toContain('a call failed')
  })

  it('calls that come all at once do not get more seats than there are', async () => {
    const { call, engine } = await createWorld({ scoreInFlight: 2 })
    const gate = createGate()
    engine.answer = (id) => gate.opened.then(() => ({ kind: 'rejected', eventId: id, status: 410, errors: [] }))
    const burst = Promise.all([1, 2, 3, 4, 5].map((n) => call('POST', '/v1/score', 'booking_core', request(`e-${n}`))))
    await expect.poll(() => engine.order.length).toBe(2)
    gate.open()
    expect((await burst).map((r) => r.statusCode).sort()).toEqual([410, 410, 503, 503, 503])
  })

  it('beyond the seats it answers 503 at once, and every seat comes free again', async () => {
    const { call, engine } = await createWorld({ scoreInFlight: 2 })
    const gate = createGate()
    engine.answer = (id) => id.startsWith('slow') ? gate.opened.then(() => Promise.reject(new Error('away'))) : undefined
    const slow = [call('POST', '/v1/score', 'booking_core', request('slow-1')), call('POST', '/v1/score', 'booking_core', request('slow-2'))]
    await expect.poll(() => engine.order.length).toBe(2)
    const refused = await call('POST', '/v1/score', 'booking_core', request('e-3'))
    expect([refused.statusCode, refused.headers['retry-after'], refused.json<Problem>().type]).toEqual([503, '1', 'urn:zhenhao:problem:overloaded'])
    gate.open()
    expect((await Promise.all(slow)).map((r) => r.statusCode)).toEqual([503, 503])
    expect((await call('POST', '/v1/score', 'booking_core', request('e-4'))).statusCode).toBe(200)
  })
})

describe('POST /v1/score/batch', () => {
  it('answers in order: decisions with their own bytes, a problem for what was refused', async () => {
    const { call, engine } = await createWorld()
    const one = await call('POST', '/v1/score', 'booking_core', request('e-2'))
    const answer = await call('POST', '/v1/score/batch', 'booking_core', [request('e-1'), { type: 'booking.requested' }, request('e-2')])
    expect(answer.statusCode).toBe(200)
    expect(answer.json<{ event_id?: string; status?: number; type?: string; errors?: unknown }[]>()).toMatchObject([
      { event_id: 'e-1' }, { type: 'urn:zhenhao:problem:bad-request', status: 400, errors: [{ path: '/event_id' }] }, { event_id: 'e-2' },
    ])
    expect(answer.body).toContain(one.body)
    expect(engine.order).toEqual(['e-2', 'e-1', 'e-2'])
  })

  it('takes 500 and refuses 501, an object and broken JSON before anything is processed', async () => {
    const { call, engine } = await createWorld()
    const many = (n: number): unknown[] => Array.from({ length: n }, (_, i) => request(`e-${i}`))
    expect((await call('POST', '/v1/score/batch', 'booking_core', many(500))).json<unknown[]>()).toHaveLength(500)
    expect(engine.order).toEqual(Array.from({ length: 500 }, (_, i) => `e-${i}`))
    engine.order.length = 0
    for (const body of [many(501), request('e-x'), `[{"name":"${SECRET_NAME}"`]) {
      const answer = await call('POST', '/v1/score/batch', 'booking_core', body)
      expect([answer.statusCode, answer.json<Problem>().errors?.[0]?.path]).toEqual([400, ''])
      expect(answer.body).not.toContain(SECRET_NAME)
    }
    expect(engine.order).toEqual([])
  })

  it('overload or a store that is away is 503 for the whole', async () => {
    const { call, engine } = await createWorld()
    engine.answer = (id) => id === 'e-2' ? overloaded() : undefined
    const shed = await call('POST', '/v1/score/batch', 'booking_core', [request('e-1'), request('e-2')])
    expect([shed.statusCode, shed.headers['retry-after']]).toEqual([503, '2'])
    engine.answer = (id) => id === 'e-2' ? Promise.reject(new Error('away')) : undefined
    expect((await call('POST', '/v1/score/batch', 'booking_core', [request('e-1'), request('e-2')])).statusCode).toBe(503)
  })
})

describe('POST /v1/events', () => {
  const paid = (event_id: string): Record<string, unknown> => ({ event_id, type: 'booking.paid' })
  const ndjson = { 'content-type': 'application/x-ndjson' }

  it('takes an array, a single event, and NDJSON with or without a last newline', async () => {
    const { call, engine } = await createWorld()
    const send = async (body: unknown, headers?: Record<string, string>): Promise<unknown> => (await call('POST', '/v1/events', 'booking_core', body, headers)).json()
    expect(await send([paid('e-1'), request('e-2')])).toEqual({ accepted: 2, duplicates: 0, rejected: [] })
    expect(await send(paid('e-3'))).toEqual({ accepted: 1, duplicates: 0, rejected: [] })
    expect(await send(`${JSON.stringify(paid('e-4'))}\r\n\n${JSON.stringify(paid('e-5'))}`, ndjson)).toEqual({ accepted: 2, duplicates: 0, rejected: [] })
    expect(await send(`${JSON.stringify(paid('e-5'))}\n`, { 'content-type': 'application/x-ndjson; charset=utf-8' })).toEqual({ accepted: 0, duplicates: 1, rejected: [] })
    expect(await send([])).toEqual({ accepted: 0, duplicates: 0, rejected: [] })
    expect(engine.order).toEqual(['e-1', 'e-2', 'e-3', 'e-4', 'e-5', 'e-5'])
  })

  it('refuses one bad line at its index and takes the others', async () => {
    const { call } = await createWorld()
    const body = [JSON.stringify(paid('e-1')), `{"event_id":"e-2","name":"${SECRET_NAME}"`, '', JSON.stringify({ type: 'booking.paid' }), JSON.stringify(paid('e-1'))].join('\n')
    const answer = await call('POST', '/v1/events', 'booking_core', body, ndjson)
    expect(answer.json()).toEqual({ accepted: 1, duplicates: 1, rejected: [
      { index: 1, event_id: null, status: 400, errors: [{ path: '', message: 'is expected' }] },
      { index: 2, event_id: null, status: 400, errors: [{ path: '/event_id', message: 'is expected' }] },
    ] })
    expect(answer.body).not.toContain(SECRET_NAME)
  })

  it('names the event and the status of what was refused', async () => {
    const { call, engine } = await createWorld()
    engine.answer = (id) => id === 'e-2' ? Promise.resolve({ kind: 'rejected', eventId: id, status: 409, errors: [{ path: '', message: 'another body' }] }) : undefined
    expect((await call('POST', '/v1/events', 'booking_core', [paid('e-1'), paid('e-2')])).json()).toMatchObject({ accepted: 1, rejected: [{ index: 1, event_id: 'e-2', status: 409 }] })
  })

  it('takes 5,000 events in order and refuses 5,001, in both forms', async () => {
    const { call, engine } = await createWorld()
    const many = (n: number): unknown[] => Array.from({ length: n }, (_, i) => paid(`e-${i}`))
    const lines = (n: number): string => many(n).map((e) => JSON.stringify(e)).join('\n')
    expect((await call('POST', '/v1/events', 'booking_core', many(5_000))).json()).toMatchObject({ accepted: 5_000 })
    expect((await call('POST', '/v1/events', 'booking_core', lines(5_000), ndjson)).json()).toMatchObject({ duplicates: 5_000 })
    expect(engine.order.slice(0, 5_000)).toEqual(Array.from({ length: 5_000 }, (_, i) => `e-${i}`))
    expect((await call('POST', '/v1/events', 'booking_core', many(5_001))).statusCode).toBe(400)
    expect((await call('POST', '/v1/events', 'booking_core', lines(5_001), ndjson)).statusCode).toBe(400)
    expect(engine.order).toHaveLength(10_000)
  })

  it('is 503 with Retry-After when the engine is full, and stops handing over', async () => {
    const { call, engine } = await createWorld()
    engine.answer = (id) => id === 'e-0' ? overloaded() : undefined
    const answer = await call('POST', '/v1/events', 'booking_core', Array.from({ length: 1_000 }, (_, i) => paid(`e-${i}`)))
    expect([answer.statusCode, answer.headers['retry-after'], engine.order.length < 1_000]).toEqual([503, '2', true])
  })

  it('frees its seat after every answer, good or bad', async () => {
    const { call } = await createWorld({ bulkInFlightBytes: 1 })
    for (const body of [[paid('e-1')], '{', [paid('e-2')]]) expect((await call('POST', '/v1/events', 'booking_core', body)).statusCode).not.toBe(503)
  })
})

it('no value of a person reaches an answer or the log, whatever goes wrong', async () => {
  const { call, logged } = await createWorld()
  const bodies = [request('e-1'), { patient: { name: SECRET_NAME, phone: SECRET_PHONE } }, `{"name":"${SECRET_NAME}`, [request('e-1')], { [SECRET_NAME]: SECRET_ID }, { reason: [SECRET_PHONE] }]
  let said = ''
  for (const url of ['/v1/score', '/v1/score/batch', '/v1/events', '/v1/holds/a/release', '/v1/nowhere', `/v1/nowhere/${SECRET_ID}`]) {
    for (const body of bodies) for (const role of ['admin', undefined] as const) said += (await call('POST', url, role, body)).body
  }
  said += (await call('PUT', `/v1/policies/h-1`, 'admin', { [SECRET_NAME]: 1, enforcement: SECRET_NAME })).body
  said += (await call('GET', `/v1/decisions/${SECRET_ID}`, 'admin')).body + (await call('GET', `/v1/holds?cursor=${SECRET_PHONE}`, 'reviewer')).body
  said += (await call('GET', `/v1/decisions/%zz${SECRET_ID}`, 'admin')).body
  for (const secret of [SECRET_ID, SECRET_NAME, SECRET_PHONE, 'secret-of-']) expect(said + logged()).not.toContain(secret)
  expect(logged()).toContain('"route":"/v1/score"')
})

it('a vendor that logs a whole request shows neither its key nor its URL or body', async () => {
  const { app, logged } = await createWorld()
  app.log.info({ req: { headers: { authorization: 'Bearer k1' }, url: `/x?id=${SECRET_ID}`, body: SECRET_NAME }, headers: { a: SECRET_PHONE }, authorization: 'k1' }, 'a call')
  expect(logged()).toContain('a call')
  for (const secret of ['k1', SECRET_ID, SECRET_NAME, SECRET_PHONE]) expect(logged()).not.toContain(secret)
})
