import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { Webhook } from 'standardwebhooks'
import { createCallback, type Callback, type CallbackOptions } from '../../src/adapters/webhook/callback.js'
import type { OutboxMessage } from '../../src/ports/enforcement-store.js'

interface Received { path: string; headers: Record<string, string>; body: string }

const KEY = Buffer.from('0123456789abcdef01234567')
const SECRET = `whsec_${KEY.toString('base64')}`

const aMessage = (id: string): OutboxMessage => {
  const who = { hold_id: `hold-${id}`, event_id: `e-${id}`, order_id: `o-${id}` }
  const resolved = { ...who, resolution: 'released', action: 'confirm', by: 'anna', reason: '核实无误', at: '2026-11-20T00:00:00.000Z' } as const
  return { outboxId: id, orderId: resolved.order_id, holdId: resolved.hold_id, body: JSON.stringify(resolved), resolved }
}

describe('the callback', () => {
  const closers: (() => void)[] = []
  afterEach(() => { closers.splice(0).forEach((close) => { close() }) })

  /** A booking core on loopback; `answer` says what it does with each request. */
  async function bookingCore(answer: (received: Received, response: ServerResponse) => void): Promise<{ url: string; received: Received[] }> {
    const received: Received[] = []
    const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const one = { path: request.url ?? '', headers: request.headers as Record<string, string>, body: Buffer.concat(chunks).toString() }
      received.push(one)
      answer(one, response)
    }
    const server = createServer((request, response) => { void take(request, response) })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    closers.push(() => { server.closeAllConnections(); server.close() })
    const address = server.address()
    return { url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`, received }
  }

  const logged: string[] = []
  const callback = (url: string, changes: Partial<CallbackOptions> = {}): Callback =>
    createCallback({ url, secret: SECRET, log: { warn: (fields, message) => { logged.push(JSON.stringify(fields) + message) } }, ...changes })
  const yes = (_: Received, response: ServerResponse): void => { response.writeHead(204).end() }

  it('brings the stored bytes with a signature that the receiver can verify', async () => {
    const { url, received } = await bookingCore(yes)
    expect(await callback(`${url}/holds?x=1`)([aMessage('1'), aMessage('2')])).toEqual(['1', '2'])
    const seen = received.map((r) => [r.path, r.headers['webhook-id'], r.body]).sort()
    expect(seen).toEqual(['1', '2'].map((id) => ['/holds?x=1', `hold-${id}`, aMessage(id).body]))
    for (const { body, headers } of received) expect(new Webhook(SECRET).verify(body, headers)).toEqual(JSON.parse(body))
  })

  it('has the same id and the same bytes at every try, and a timestamp of its own', async () => {
    let tries = 0
    const { url, received } = await bookingCore((_, response) => { response.writeHead(++tries === 1 ? 500 : 200).end('a body nobody reads') })
    let clock = Date.now()
    const send = callback(url, { now: () => clock })
    expect(await send([aMessage('1')])).toEqual([])
    clock += 60_000
    expect(await send([aMessage('1')])).toEqual(['1'])
    const [first, second] = received
    expect(second?.body).toBe(first?.body)
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    expect(Number(second?.headers['webhook-timestamp']) - Number(first?.headers['webhook-timestamp'])).toBe(60)
  })

  it.each([301, 307, 400, 404, 409, 503])('does not count status %i as arrived, and goes nowhere else', async (status) => {
    const { url, received } = await bookingCore((_, response) => { response.writeHead(status, { location: '/elsewhere' }).end() })
    expect(await callback(url)([aMessage('1')])).toEqual([])
    expect(received.map((r) => r.path)).toEqual(['/'])
  })

  it('says which of many arrived', async () => {
    const { url } = await bookingCore(({ headers }, response) => { response.writeHead(headers['webhook-id'] === 'hold-3' ? 422 : 200).end() })
    const arrived = await callback(url)(Array.from({ length: 30 }, (_, i) => aMessage(String(i))))
    expect(arrived).toHaveLength(29)
    expect(arrived).not.toContain('3')
  })

  it('sends at most eight at once', async () => {
    const open: ServerResponse[] = []
    const { url, received } = await bookingCore((_, response) => { open.push(response) })
    const sending = callback(url)(Array.from({ length: 40 }, (_, i) => aMessage(String(i))))
    while (open.length < 8) await sleep(5)
    await sleep(100)
    expect(received).toHaveLength(8)
    while (received.length < 40 || open.length > 0) {
      open.splice(0).forEach((response) => response.writeHead(200).end())
      await sleep(5)
    }
    expect(await sending).toHaveLength(40)
  })

  it('gives up on a receiver that does not answer within 5 s', async () => {
    const { url } = await bookingCore(() => undefined)
    const started = performance.now()
    expect(await callback(url)([aMessage('1')])).toEqual([])
    expect(performance.now() - started).toBeGreaterThan(4_500)
    expect(performance.now() - started).toBeLessThan(8_000)
  }, 15_000)

  it('sends the URL\'s credentials as a header and never logs them', async () => {
    const { url, received } = await bookingCore((_, response) => { response.writeHead(500).end() })
    await callback(url.replace('//', '//core:geheim%21@'))([aMessage('1')])
    expect(received[0]?.headers['authorization']).toBe(`Basic ${Buffer.from('core:geheim!').toString('base64')}`)
    closers.splice(0).forEach((close) => { close() })
    await callback(`${url.replace('//', '//core:geheim@')}/path-token`)([aMessage('1')])
    expect(logged.join()).toContain('ECONNREFUSED')
    expect(logged.join()).not.toMatch(/geheim|path-token/)
  })

  const words = 'a plain secret of words!'
  const secrets: [string, string, Buffer][] = [
    ['whsec_ and base64', SECRET, KEY], ['base64 alone', KEY.toString('base64'), KEY], ['plain text', words, Buffer.from(words)],
  ]
  it.each(secrets)('takes a secret of %s', async (_, secret, key) => {
    const { url, received } = await bookingCore(yes)
    await callback(url, { secret })([aMessage('1')])
    const [one] = received
    expect(new Webhook(new Uint8Array(key), { format: 'raw' }).verify(one?.body ?? '', one?.headers ?? {})).toMatchObject({ hold_id: 'hold-1' })
  })

  const refused = [['', 'at least 16'], ['short', 'at least 16'], ['whsec_c2hvcnQ=', 'at least 16'],
    ['whsec_no base64 at all!!', 'not base64']] as const
  it.each(refused)('refuses the secret %j with words that do not show it', (secret, why) => {
    expect(() => callback('http://127.0.0.1:1', { secret })).toThrow(why)
  })

  it.each(['', 'nowhere', 'ftp://user:geheim@host/', 'file:///etc'])('refuses the URL %j without repeating it', (url) => {
    expect(() => callback(url)).toThrow(/^ZHENHAO_CALLBACK_URL: not an http or https URL$/)
  })
})
