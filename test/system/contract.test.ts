import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, stat, writeFile, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { morning, MORNING_OUTCOMES, type WireEvent } from '../fixtures/morning.js'
import { startCallbackReceiver, type CallbackReceiver } from '../support/callback-receiver.js'
import { createClient, type Answer, type Client } from '../support/client.js'
import { idOf, withChecksum } from '../support/people.js'
import { BUILT, demoKeysOf, freePort, openDataDir, runCommand, startProduct, type Product, type Settings } from '../support/process.js'

/** The contract as a booking core, a risk team and an operator meet it: the built command, HTTP, and nothing else. */

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const SECRET = `whsec_${randomBytes(32).toString('base64')}`

interface Decision {
  event_id: string; order_id: string; decided_at: string; outcome: string; basis: string; score: number | null; reasons: { code: string }[]
  challenge?: { kind: string }; hold?: { hold_id: string; expires_at: string; on_expiry: string }; degraded: string[]; versions: Record<string, string | null>
}
const decisionIn = ({ status, text }: Answer): Decision => {
  expect(status, text).toBe(200)
  return JSON.parse(text) as Decision
}
/** What must not depend on the road. */
const essence = ({ outcome, basis, score, reasons, degraded, versions }: Decision): object => ({ outcome, basis, score, reasons, degraded, versions })

/** How a copy of the morning differs from the one in the fixture: its people, ids, times, their spelling, hospital and channel. */
interface Copy { tag: string; lastAt: number; offsetMin?: number; fraction?: string; hospital?: string; channel?: { id: string; kind: string }; generation: number }

/** Epoch ms in any time zone, with digits beyond the millisecond. */
function spelled(ms: number, offsetMin: number, fraction: string): string {
  const local = new Date(ms + offsetMin * 60_000).toISOString().slice(0, 23)
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${local}${fraction}${offsetMin < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offsetMin) / 60))}:${two(Math.abs(offsetMin) % 60)}`
}

const IDS = new Set(['event_id', 'order_id', 'id', 'department_id', 'doctor_id', 'schedule_id', 'slot_id'])
const TIME = /^\d{4}-\d\d-\d\dT.*[+]\d\d:\d\d$/

/** Other people each time: born `generation` years earlier, reachable by other numbers. */
function copyOf(copy: Copy): WireEvent[] {
  const { tag, lastAt, offsetMin = 480, fraction = '', hospital = 'h-042', channel, generation } = copy
  const events = morning()
  const shiftMs = lastAt - Math.max(...events.map((e) => Date.parse(e.occurred_at)))
  const year = (text: string): string => String(Number(text) - generation)
  const changed = (name: string, value: unknown): unknown => {
    if (Array.isArray(value) || typeof value !== 'object' || value === null) return typeof value === 'string' ? words(name, value) : value
    if (name === 'channel' && channel) return channel
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, changed(key, inner)]))
  }
  const words = (name: string, value: string): string => {
    if (name === 'hospital_id') return hospital
    if (name === 'id_number') return withChecksum(value.slice(0, 6) + year(value.slice(6, 10)) + value.slice(10, 17))
    if (name === 'birth_date') return year(value.slice(0, 4)) + value.slice(4)
    if (name === 'phone') return `${value.slice(0, 3)}${String(generation).padStart(2, '0')}${value.slice(5)}`
    if (name === 'ip') return value.replace(/^\d+\.\d+/, (net) => `${net.split('.')[0] ?? ''}.${100 + generation}`)
    if (IDS.has(name)) return `${tag}-${value}`
    return TIME.test(value) ? spelled(Date.parse(value) + shiftMs, offsetMin, fraction) : value
  }
  return events.map((event) => changed('', event) as WireEvent)
}

const isRequest = (event: WireEvent): boolean => event.type === 'booking.requested'
const structured = (event: WireEvent): unknown => ({ specversion: '1.0', id: `ce-${event.type}`, source: '/core', type: 'cn.booking', data: event })
const inBase64 = (event: WireEvent): unknown => ({ specversion: '1.0', id: 'ce', source: '/core', type: 'cn.booking', data_base64: Buffer.from(JSON.stringify(event)).toString('base64') })
const ndjson = (events: readonly unknown[]): string => events.map((e) => JSON.stringify(e)).join('\r\n\r\n')

let data: Awaited<ReturnType<typeof openDataDir>>
let settings: Settings
let product: Product
let receiver: CallbackReceiver
let keys: Record<string, string>
let core: Client
let reviewer: Client
let lead: Client

async function start(): Promise<void> {
  product = await startProduct(settings)
  keys = await demoKeysOf(data.path)
  const clientOf = (role: string): Client => createClient(product.url, keys[role] ?? '')
  core = clientOf('booking_core')
  reviewer = clientOf('reviewer')
  lead = clientOf('risk_lead')
}

const post = (path: string, body: unknown, type?: string): Promise<Answer> => core.call('POST', path, { body, ...(type === undefined ? {} : { type }) })
const score = async (event: unknown): Promise<Decision> => decisionIn(await post('/v1/score', event))
async function send(...events: unknown[]): Promise<void> {
  const { status, text } = await post('/v1/events', events)
  expect([status, JSON.parse(text)]).toEqual([200, { accepted: events.length, duplicates: 0, rejected: [] }])
}
/** Goes through a morning event by event; resolves with the decisions, in order. */
async function live(events: readonly WireEvent[]): Promise<Decision[]> {
  const decisions: Decision[] = []
  for (const event of events) {
    if (isRequest(event)) decisions.push(await score(event))
    else await send(event)
  }
  return decisions
}
const last = <T>(list: readonly T[]): T => {
  const found = list.at(-1)
  if (found === undefined) throw new Error('an empty list has no last')
  return found
}

beforeAll(async () => {
  receiver = await startCallbackReceiver(SECRET)
  data = await openDataDir()
  // A callback does not count as a server: demo keys are still made.
  settings = { ZHENHAO_DATA_DIR: data.path, PORT: await freePort(), ZHENHAO_CALLBACK_URL: receiver.url, ZHENHAO_CALLBACK_SECRET: SECRET, LOG_LEVEL: 'warn' }
  await start()
})
afterAll(async () => {
  await product.stop()
  await receiver.close()
  await data.remove()
})

describe('copies of a morning', () => {
  const now = Date.now()
  const copies: Record<'yesterday' | 'past' | 'abroad' | 'unicode' | 'long', WireEvent[]> = {
    yesterday: copyOf({ tag: 'yd', lastAt: now - DAY_MS, generation: 1 }),
    past: copyOf({ tag: 'old', lastAt: now - 25 * DAY_MS, offsetMin: 0, hospital: 'h-007', generation: 2 }),
    abroad: copyOf({ tag: 'ab', lastAt: now - HOUR_MS, offsetMin: -570, fraction: '123', channel: { id: 'ali', kind: 'mini_program' }, generation: 3 }),
    unicode: copyOf({ tag: '挂号😀', lastAt: now - 2 * HOUR_MS, offsetMin: 345, fraction: '000001', hospital: '协和', channel: { id: '网站', kind: 'web' }, generation: 4 }),
    long: copyOf({ tag: 'L'.repeat(100), lastAt: now - 3 * HOUR_MS, hospital: 'H'.repeat(128), generation: 5 }),
  }
  const replayed = new Map<string, Decision>()

  beforeAll(async () => {
    const [input, output] = [join(data.path, 'mornings.ndjson'), join(data.path, 'mornings.out')]
    await writeFile(input, ndjson(Object.values(copies).flat()))
    const { code, stderr } = await runCommand(['replay', input, '--decisions', output], { ZHENHAO_DATA_DIR: join(data.path, 'none') })
    expect(code, stderr).toBe(0)
    for (const line of (await readFile(output, 'utf8')).trim().split('\n')) {
      const decision = JSON.parse(line) as Decision
      replayed.set(decision.event_id, decision)
    }
  })

  const expectLikeReplay = (decision: Decision): void => {
    const expected = replayed.get(decision.event_id)
    expect(expected, decision.event_id).toBeDefined()
    if (expected) expect([decision.event_id, essence(decision)]).toEqual([decision.event_id, essence(expected)])
  }

  it('get what a sensible policy may give', () => {
    expect(replayed.size).toBe(5 * Object.keys(MORNING_OUTCOMES).length)
    for (const [id, { outcome }] of replayed) expect([id, MORNING_OUTCOMES[id.slice(id.indexOf('mo-'))]]).toEqual([id, expect.arrayContaining([outcome])])
  })

  it('are decided by /score as in replay; each repeat, however wrapped and by whichever road, gets the same bytes and counts once', async () => {
    for (const event of copies.yesterday) {
      if (!isRequest(event)) { await send(event); continue }
      const first = await post('/v1/score', event)
      expectLikeReplay(decisionIn(first))
      const reversed = Object.fromEntries(Object.entries({ ...event, nobody_knows: [1] }).reverse())
      for (const body of [structured(event), inBase64(event), reversed]) expect((await post('/v1/score', body, 'application/cloudevents+json')).text).toBe(first.text)
      expect((await post('/v1/score/batch', [event, structured(event)])).text).toBe(`[${first.text},${first.text}]`)
      expect(JSON.parse((await post('/v1/events', event)).text)).toEqual({ accepted: 0, duplicates: 1, rejected: [] })
      expect((await core.call('GET', `/v1/decisions/${encodeURIComponent(event.event_id)}`)).text).toBe(first.text)
    }
  })

  it('whose visits are over by now are decided as in replay, and such a hold ends at once in the patient\'s favour', async () => {
    const { status, text } = await post('/v1/events', ndjson(copies.past), 'application/x-ndjson')
    expect([status, (JSON.parse(text) as { accepted: number }).accepted]).toEqual([200, copies.past.length])
    const decisions = await Promise.all(copies.past.filter(isRequest).map(score))
    decisions.forEach(expectLikeReplay)
    const { hold } = last(decisions)
    expect(hold?.on_expiry).toBe('confirm')
    await vi.waitFor(() => { expect(receiver.received.map(({ body }) => body).join()).toContain(`"hold_id":"${hold?.hold_id ?? ''}"`) }, { timeout: 15_000 })
  })

  it('in envelopes by /score/batch, after a kill -9, are decided as in replay', async () => {
    const demo = JSON.stringify(keys)
    let run: WireEvent[] = []
    const flush = async (): Promise<void> => {
      const { text } = await post('/v1/score/batch', run.map(structured))
      ;(JSON.parse(text) as Decision[]).forEach(expectLikeReplay)
      run = []
    }
    for (const [at, event] of copies.abroad.entries()) {
      if (at === 14 || at === copies.abroad.length - 3) {
        await product.kill()
        await start()
        expect(product.readyMs).toBeLessThan(15_000)
        expect(JSON.stringify(keys)).toBe(demo)
      }
      if (isRequest(event)) { run.push(event); continue }
      await flush()
      await send(inBase64(event))
    }
    await flush()
  })

  it('with ids in any script, or as long as ids may be, are decided as in replay', async () => {
    for (const events of [copies.unicode, copies.long]) {
      const { text } = await post('/v1/events', ndjson(events.map((e, i) => (i % 2 === 0 ? e : structured(e)))), 'application/x-ndjson')
      expect(JSON.parse(text)).toEqual({ accepted: events.length, duplicates: 0, rejected: [] })
      for (const decision of await Promise.all(events.filter(isRequest).map(score))) expectLikeReplay(decision)
    }
  })

  it('leave nobody\'s ID number, phone or name in an output', () => {
    const secrets = Object.values(copies).flat().flatMap(({ patient }) => (patient === undefined ? [] : Object.values(patient as Record<string, string>).filter((v) => /^\d{11,17}[\dX]?$/.test(v))))
    expect(secrets.length).toBeGreaterThan(50)
    const seen = product.output() + receiver.received.map(({ body }) => body).join() + JSON.stringify([...replayed.values()])
    expect(secrets.filter((secret) => seen.includes(secret))).toEqual([])
  })
})

describe('a hold', () => {
  const hold = async (copy: Omit<Copy, 'lastAt'>): Promise<Decision[]> => (await live(copyOf({ lastAt: Date.now() - HOUR_MS, ...copy }))).filter(({ outcome }) => outcome === 'hold')
  const resolve = (id: string | undefined, verb: string): Promise<Answer> => reviewer.call('POST', `/v1/holds/${id ?? ''}/${verb}`, { body: { reason: 'looked at' } })
  const ended = async (id: string | undefined): Promise<unknown> => vi.waitFor(() => {
    const found = receiver.received.find(({ body }) => body.includes(`"${id ?? ''}"`))
    expect(found).toBeDefined()
    return JSON.parse(found?.body ?? '') as unknown
  }, { timeout: 15_000 })

  it('ends once: the same again is the same, anything else is 409, and a signed callback says what to do', async () => {
    const [first, second] = (await hold({ tag: 'hr', generation: 6 })).slice(-2)
    for (const [decision, verb, other, resolution, action] of [[first, 'release', 'reject', 'released', 'confirm'], [second, 'reject', 'release', 'rejected', 'return_to_pool']] as const) {
      const id = decision?.hold?.hold_id
      expect((await Promise.all([resolve(id, verb), resolve(id, verb)])).map(({ status }) => status)).toEqual([200, 200])
      expect((await resolve(id, other)).status).toBe(409)
      expect(await ended(id)).toMatchObject({ event_id: decision?.event_id, order_id: decision?.order_id, resolution, action })
    }
    expect(receiver.forged).toBe(0)
  })

  it('is cancelled with its order or its schedule, whose name another hospital may use too', async () => {
    const [one, two, three] = (await hold({ tag: 'hc', hospital: 'h-100', generation: 7 })).slice(-3)
    const at = new Date().toISOString()
    await send({ event_id: 'hc-end-1', type: 'booking.cancelled', occurred_at: at, order_id: one?.order_id }, { event_id: 'hc-end-2', type: 'booking.expired', occurred_at: at, order_id: two?.order_id })
    const stop = { type: 'schedule.stopped', occurred_at: at, slot: { hospital_id: 'h-100', schedule_id: 'hc-s-20261202-d3300-pm' } }
    await send({ ...stop, event_id: 'hc-stop-1', slot: { ...stop.slot, hospital_id: 'h-101' } })
    const statuses = async (): Promise<unknown[]> => Promise.all([one, two, three].map(async (d) => {
      const { status, action } = JSON.parse((await core.call('GET', `/v1/holds/${d?.hold?.hold_id ?? ''}`)).text) as Record<string, string>
      return action === undefined ? status : `${status ?? ''}: ${action}`
    }))
    expect(await statuses()).toEqual(['cancelled: none', 'cancelled: none', 'active'])
    await send({ ...stop, event_id: 'hc-stop-2' })
    expect(await statuses()).toEqual(['cancelled: none', 'cancelled: none', 'cancelled: none'])
    expect((await resolve(three?.hold?.hold_id, 'release')).status).toBe(409)
  })

  it('is not placed while a hospital observes, which a risk lead switches without a restart; a restart keeps it', async () => {
    const put = (client: Client, enforcement: string): Promise<Answer> => client.call('PUT', '/v1/policies/h-200', { body: { enforcement, hold: { on_expiry: 'return_to_pool' } } })
    expect((await put(reviewer, 'observe')).status).toBe(403)
    expect((await put(lead, 'observe')).status).toBe(200)
    await product.kill()
    await start()
    const observed = await live(copyOf({ tag: 'ho', lastAt: Date.now() - HOUR_MS, hospital: 'h-200', generation: 8 }))
    expect(observed.map(({ outcome, reasons }) => [outcome, reasons.length])).toEqual(observed.map(() => ['allow', 0]))
    const path = `/v1/decisions/${last(observed).event_id}`
    expect(JSON.parse((await reviewer.call('GET', path)).text)).toMatchObject({ review: { enforcement: 'observe', would_be: { outcome: 'hold' } } })
    expect((await core.call('GET', path)).text).not.toMatch(/would_be|threshold|rule_hits/)
    expect((await put(lead, 'enforce')).status).toBe(200)
    const [enforced] = await hold({ tag: 'he', hospital: 'h-200', generation: 9 })
    expect(enforced?.hold?.on_expiry).toBe('return_to_pool')
  })
})

describe('one booking', () => {
  const at = (ms: number): string => spelled(Date.now() - HOUR_MS + ms, 480, '')
  const booking = (n: number, changes: Record<string, unknown> = {}): WireEvent => ({
    event_id: `one-${n}`, type: 'booking.requested', occurred_at: at(0), order_id: `one-o-${n}`, channel: { id: 'hall', kind: 'kiosk' },
    patient: { id_type: '01', id_number: idOf('110105', `19${50 + n}-04-05`, 100 + n), name: '赵琮' }, slot: { hospital_id: 'h-007', schedule_id: `one-s-${n}` }, ...changes,
  })

  it.each([
    ['by phone', { channel: { id: '12580', kind: 'phone' }, operator: { id: 'op-1', seat: 'seat-9' } }],
    ['at the window with a passport', { channel: { id: 'w', kind: 'window' }, patient: { id_type: '03', id_number: 'E12345678' } }],
    ['with a 15-digit ID', { patient: { id_type: '01', id_number: '110105880101123' } }],
    ['with the caller\'s own token', { patient: { id_type: '01', id_token: 'tok-abcdef' } }],
  ] as [string, Record<string, unknown>][])('%s needs no account, no device and no slot id', async (name, changes) => {
    expect(await score(booking(1, { event_id: name, order_id: name, ...changes }))).toMatchObject({ outcome: 'allow', degraded: [] })
  })

  it.each(['account', 'patient'])('that is challenged goes through once the %s passed the check', async (who) => {
    const n = who === 'account' ? 2 : 3
    const oddity = { device: { id: `odd-${who}`, emulator: true }, network: { ip: `5.6.${n}.8`, datacenter: true }, account: { id: `odd-${who}` } }
    const odd = booking(n, { ...oddity, patient: { ...booking(n)['patient'] as object, name: '561' } })
    expect(await score(odd)).toMatchObject({ outcome: 'challenge', challenge: { kind: 'face' } })
    await send({ event_id: `pass-${who}`, type: 'verification.passed', occurred_at: at(3_000), [who]: odd[who], verification: { kind: 'face' } })
    expect(await score({ ...odd, event_id: `again-${who}`, occurred_at: at(4_000) })).toMatchObject({ outcome: 'allow' })
    expect(await score({ ...odd, event_id: `before-${who}`, occurred_at: at(2_000) })).toMatchObject({ outcome: 'challenge' })
  })

  it('is refused six minutes ahead of the clock and taken four minutes ahead; years ago is 410', async () => {
    const ahead = (minutes: number): string => spelled(Date.now() + minutes * 60_000, 480, '')
    expect((await post('/v1/score', booking(4, { occurred_at: ahead(6) }))).text).toContain('/occurred_at')
    expect((await post('/v1/score', booking(4, { occurred_at: ahead(4) }))).status).toBe(200)
    expect((await post('/v1/score', booking(5, { occurred_at: '2020-01-01T00:00:00Z' }))).status).toBe(410)
  })

  it('asked for by every road in the same instant is decided once', async () => {
    const event = booking(6)
    const texts = await Promise.all(Array.from({ length: 18 }, async (_, i) => {
      if (i % 3 === 0) return (await post('/v1/score/batch', [event])).text.slice(1, -1)
      if (i % 3 === 1) return (await post('/v1/score', structured(event))).text
      await post('/v1/events', [event])
      return (await core.call('GET', `/v1/decisions/${event.event_id}`)).text
    }))
    expect(new Set(texts).size).toBe(1)
  })

  const WRONG: [pointer: string, values: unknown[]][] = [
    ['/event_id', [undefined, 1, '', 'x'.repeat(129), 'a\u0000b']], ['/type', [undefined, 'booking.teleported', 'slot.queried']], ['/occurred_at', [undefined, 'yesterday', '2026-02-30T07:00:00Z', '2026-11-20T07:00:00', 7]],
    ['/order_id', [undefined, '', 5]], ['/channel', [undefined, 'wechat']], ['/channel/kind', [undefined, 'fax']], ['/channel/id', [undefined, 1]], ['/account/id', [1, '']], ['/account/registered_at', ['x', 5]],
    ['/patient', [undefined, 'x']], ['/patient/id_type', [undefined, 1, 'resident identity']], ['/patient/id_number', [undefined, 110101, '', null]], ['/patient/id_token', ['13800001234', idOf('110105', '1980-04-05', 111)]],
    ['/patient/sex', ['X']], ['/patient/birth_date', ['1990-02-30', '19900307']], ['/patient/bound_at', [1]], ['/patient/relation', [5]], ['/patient/name', [5]], ['/patient/phone', [13800001234]],
    ['/slot', [undefined, []]], ['/slot/hospital_id', [undefined, 7]], ['/slot/schedule_id', [undefined, '']], ['/slot/slot_id', [7]], ['/slot/clinic', ['vip']], ['/slot/visit_at', ['2026-11-27']], ['/slot/released_at', [1]],
    ['/slot/fee_fen', ['fifty', '5000', -1, 1.5]], ['/slot/sex_limit', ['X']], ['/slot/age_min', ['0', -1]], ['/slot/age_max', [1.5]], ['/device/emulator', ['false', 0]], ['/device/rooted', ['no']], ['/device/id', ['']],
    ['/network/ip', ['999.1.1.1', '1.2.3.4/8', 'localhost']], ['/network/proxy', [1]], ['/session/opened_at', ['x']], ['/session/page_views', ['3', -1]], ['/session/captcha_ms', ['x', -1]], ['/payer/id', [1]], ['/operator/seat', [1]],
  ]
  it.each(WRONG)('with a wrong %s is 400 and names it, saying nothing of the person', async (pointer, values) => {
    for (const [i, value] of values.entries()) {
      const event = structuredClone(booking(7, { event_id: `wrong${pointer}-${i}` })) as Record<string, unknown>
      const [, outer = '', inner] = pointer.split('/')
      if (inner === undefined) event[outer] = value
      else event[outer] = { ...event[outer] as object, [inner]: value }
      const { status, text, headers } = await post('/v1/score', event)
      expect([value, status, headers.get('content-type')]).toEqual([value, 400, expect.stringContaining('application/problem+json')])
      const { errors } = JSON.parse(text) as { errors: { path: string }[] }
      expect(errors.map(({ path }) => path)).toContainEqual(expect.stringMatching(new RegExp(`^${pointer}(/|$)`)))
      expect(text).not.toMatch(/赵琮|\d{11}/)
    }
  })

  it('may come in a call of its own, hundreds of them at once', async () => {
    const looks = Array.from({ length: 200 }, (_, i) => ({ event_id: `look-${i}`, type: 'slot.queried', occurred_at: at(i), account: { id: 'looker' }, slot: booking(8)['slot'] }))
    expect(new Set((await Promise.all(looks.map((look) => post('/v1/events', look)))).map(({ status }) => status))).toEqual(new Set([200]))
  })
})

describe('what cannot be', () => {
  it.each([
    ['GET', '/v1/nowhere', 404], ['GET', '/v1/decisions/nobody', 404], ['GET', '/v1/holds/nobody', 404], ['GET', '/v1/holds/%00', 400], ['GET', '/v1/holds?hospital_id=%00', 400],
    ['GET', `/v1/holds?cursor=${Buffer.from('1 \u0000').toString('base64url')}`, 400], ['GET', '/v1/holds?status=odd', 400], ['POST', '/v1/holds/nobody/release', 404], ['PUT', '/v1/policies/h-1', 400],
  ])('%s %s is a problem', async (method, path, expected) => {
    const admin = createClient(product.url, keys['admin'] ?? '')
    const { status, headers } = await admin.call(method, path, method === 'GET' ? {} : { body: { reason: 'x' } })
    expect([status, headers.get('content-type')]).toEqual([expected, expect.stringContaining('application/problem+json')])
  })

  it('is 415 for another media type, 413 for a large body, 401 without a key and 403 with the wrong one', async () => {
    expect((await post('/v1/score', '{}', 'text/plain')).status).toBe(415)
    expect((await post('/v1/score', { pad: 'x'.repeat(300_000) })).status).toBe(413)
    expect((await core.call('POST', '/v1/score', { body: {}, secret: '' })).status).toBe(401)
    expect((await core.call('POST', '/v1/score', { body: {}, secret: keys['hospital:h-007'] ?? '' })).status).toBe(403)
  })
})

describe('the command', () => {
  const run = (args: string[], more: Settings = {}): ReturnType<typeof runCommand> => runCommand(args, { ZHENHAO_DATA_DIR: join(data.path, 'other'), LOG_LEVEL: 'error', ...more })

  it('ends with clear words when its port or its data directory is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const address = taken.address()
    const PORT = String(typeof address === 'object' ? address?.port : 0)
    const [port, directory] = await Promise.all([run(['serve'], { PORT }), run(['serve'], { ZHENHAO_DATA_DIR: data.path, PORT: await freePort() })])
    taken.close()
    expect([port.code, port.stderr]).toEqual([1, expect.stringContaining('set PORT')])
    expect([directory.code, directory.stderr]).toEqual([1, expect.stringContaining(`in use by process ${product.pid}`)])
    expect(port.stderr + directory.stderr).not.toMatch(/\n\s+at /)
  })

  it('doctor asks every server by itself and names each that is away', async () => {
    const away = { CLICKHOUSE_URL: 'http://127.0.0.1:9', DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:9/x', KAFKA_BROKERS: '127.0.0.1:9', ZHENHAO_TOKEN_KEY: 'k'.repeat(40), PORT: await freePort() }
    const { code, stdout, stderr } = await run(['doctor'], { ...away, ZHENHAO_DATA_DIR: join(data.path, 'sick') })
    expect(code).toBe(1)
    for (const name of ['PostgreSQL', 'ClickHouse', 'event log']) expect(stdout).toMatch(new RegExp(`WRONG +${name}`))
    expect(stdout + stderr).not.toContain('hunter2')
  })

  it('keeps rejected lines, which hold identities, for its owner alone, and takes a closed pipe for no fault', async () => {
    const [input, rejects] = [join(data.path, 'bad.ndjson'), join(data.path, 'rejects.ndjson')]
    await writeFile(input, `nonsense\n${ndjson(copyOf({ tag: 'p', lastAt: Date.now(), generation: 1 }))}\n`)
    await chmod(input, 0o644)
    const { code } = await run(['replay', input, '--rejects', rejects])
    expect([code, (await stat(rejects)).mode & 0o777]).toEqual([0, 0o600])
    const piped = spawn('sh', ['-c', `"${process.execPath}" "${BUILT}" replay "${input}" --show | head -n 1`], { stdio: ['ignore', 'pipe', 'pipe'] })
    const [, stderr] = await Promise.all([readText(piped.stdout), readText(piped.stderr)])
    expect(stderr).not.toMatch(/EPIPE|\n\s+at /)
  })

  it.each(['fly', 'replay', 'serve --nope', 'keys create --role boss', 'replay x --speed 0'])('takes "%s" for wrong usage', async (line) => {
    expect((await run(line.split(' '))).code).toBe(2)
  })
})
