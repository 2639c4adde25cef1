import { request as httpRequest } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { ROLES } from '../../src/domain/access.js'
import { createGate, createWorld, request, secretOf, type World } from '../unit/api/support.js'

/** What only a real socket shows: limits, load, and closing. */

let world: World | undefined
afterEach(async () => { await world?.app.close(); world = undefined })

async function listen(...args: Parameters<typeof createWorld>): Promise<World & { port: number; send: (path: string, body: unknown, secret?: string) => Promise<Response> }> {
  const started = await createWorld(...args)
  world = started
  await started.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = started.app.server.address() as AddressInfo
  const send = (path: string, body: unknown, secret = secretOf('booking_core')): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST', headers: { authorization: `Bearer ${secret}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { ...started, port, send }
}

/** Sends the head of a POST and keeps the body back. */
const announce = (port: number, path: string, length: number) => {
  const socket = connect(port, '127.0.0.1')
  socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${secretOf('booking_core')}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`)
  let answer = ''
  socket.on('data', (bytes) => { answer += bytes.toString() }).on('error', () => undefined)
  return { socket, answer: () => answer }
}

describe('rates', () => {
  it('one call too many in a second is 429 with Retry-After and RateLimit fields, for that key and group alone', async () => {
    const { send, call } = await listen({ scorePerSecond: 3 })
    // Four calls fall into one fixed window unless a second ends between them: then four more do.
    const round = async (): Promise<Response | undefined> => (await Promise.all([1, 2, 3, 4].map((n) => send('/v1/score', request(`e-${n}`))))).find((r) => r.status === 429)
    const refused = await round() ?? await round()
    expect(refused?.headers.get('retry-after')).toBe('1')
    expect(refused?.headers.get('ratelimit-policy')).toBe('"score";q=3;w=1')
    expect(refused?.headers.get('ratelimit')).toBe('"score";r=0;t=1')
    expect(refused?.headers.get('content-type')).toContain('application/problem+json')
    expect((await call('POST', '/v1/score', 'admin', request('e-9'))).statusCode).toBe(200)
    expect((await send('/v1/events', [request('e-9')])).status).toBe(200)
    await sleep(1_100)
    expect((await send('/v1/score', request('e-10'))).status).toBe(200)
  })

  it('looking and changing have their own rates', async () => {
    const { send } = await listen({ reviewPerSecond: 2, writesPerSecond: 1 })
    const many = async (path: string, body: unknown): Promise<number[]> => (await Promise.all(Array.from({ length: 8 }, () => send(path, body, secretOf('reviewer'))))).map((r) => r.status)
    expect(await many('/v1/holds', undefined)).toContain(429)
    expect(await many('/v1/holds/a/release', { reason: 'x' })).toContain(429)
    expect(await many('/healthz', undefined)).not.toContain(429)
  })

  it('an address that keeps failing is held up before the key store is asked; keys that work go on working from it', async () => {
    const { send, asked, clock } = await listen({ failuresPerMinute: 5 })
    expect((await send('/v1/score', request('e-1'))).status).toBe(200)
    const statuses = []
    for (let i = 0; i < 8; i++) statuses.push((await send('/v1/score', request('e-2'), `guess-${i}`)).status)
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
    expect(asked.times).toBe(6)
    expect((await send('/v1/score', request('e-3'))).status).toBe(200)
    clock.now += 10_000
    expect((await send('/v1/score', request('e-4'))).status).toBe(200)
  })

  it('good keys that come for the first time do not count as failures', async () => {
    const { send } = await listen({ failuresPerMinute: 2 })
    for (const role of ROLES) expect((await send('/v1/holds', undefined, secretOf(role))).status, role).not.toBe(429)
  })
})

describe('bodies', () => {
  it('over the limit is 413 as soon as the length is known, per route', async () => {
    const { port, send } = await listen()
    const tooLong = announce(port, '/v1/score', 256 * 1024 + 1)
    await expect.poll(tooLong.answer).toContain('413')
    tooLong.socket.destroy()
    const events = Array.from({ length: 1_000 }, (_, i) => ({ ...request(`e-${i}`), note: 'x'.repeat(1_000) }))
    expect((await send('/v1/events', events)).status).toBe(200)
    expect((await send('/v1/events', `[${'1,'.repeat(4.5 * 1024 * 1024)}1]`)).status).toBe(413)
    expect((await send('/v1/holds/a/release', { reason: 'x'.repeat(65_536) }, secretOf('reviewer'))).status).toBe(413)
  })

  it('a full house answers 503 before the body is read', async () => {
    const { port, send, engine } = await listen({ scoreInFlight: 1, bulkInFlightBytes: 1 })
    const gate = createGate()
    engine.answer = () => gate.opened.then(() => ({ kind: 'overloaded', retryAfterMs: 1 }))
    const [one, many] = [send('/v1/score', request('e-1')), send('/v1/events', [request('e-2')])]
    await expect.poll(() => engine.order.length).toBe(2)
    for (const path of ['/v1/score', '/v1/events']) {
      const waiting = announce(port, path, 1_000)
      await expect.poll(waiting.answer, { message: path }).toContain('503')
      expect(waiting.answer().toLowerCase()).toContain('retry-after: 1')
      waiting.socket.destroy()
    }
    gate.open()
    await Promise.all([one, many])
  })

  it('a sender that hangs up in the middle gives its seat back', async () => {
    const { port, send } = await listen({ bulkInFlightBytes: 1 })
    const half = announce(port, '/v1/events', 1_000)
    half.socket.write('[')
    await expect.poll(async () => (await send('/v1/events', [])).status).toBe(503)
    half.socket.destroy()
    await expect.poll(async () => (await send('/v1/events', [])).status).toBe(200)
  })
})

describe('load and closing', () => {
  it('sheds when the event loop lags, but still says that it is alive', async () => {
    const { send } = await listen({ eventLoopDelayMs: 1 })
    const busy = setInterval(() => { for (const end = performance.now() + 60; performance.now() < end;) { /* in the way on purpose */ } }, 1)
    try {
      await expect.poll(async () => {
        const shed = await send('/v1/score', request('e-1'))
        return [shed.status, shed.headers.get('retry-after'), shed.headers.get('content-type')]
      }, { timeout: 5_000 }).toEqual([503, '1', 'application/problem+json; charset=utf-8'])
      for (const path of ['/healthz', '/readyz', '/metrics']) expect((await send(path, undefined)).status).toBe(200)
    } finally {
      clearInterval(busy)
    }
  })

  it('close() finishes what is in flight and takes nothing new', async () => {
    const { app, port, send, engine } = await listen()
    const gate = createGate()
    engine.answer = (id) => gate.opened.then(() => ({ kind: 'accepted', eventId: id, duplicate: false }))
    const inFlight = send('/v1/events', [request('e-1')])
    await expect.poll(() => engine.order.length).toBe(1)
    const closed = app.close()
    await expect.poll(() => new Promise((done) => {
      httpRequest({ host: '127.0.0.1', port, path: '/healthz', agent: false }, () => { done('answered') }).on('error', () => { done('refused') }).end()
    })).toBe('refused')
    gate.open()
    expect(await (await inFlight).json()).toMatchObject({ accepted: 1 })
    await closed
  })
})
