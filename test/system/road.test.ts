import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startCallbackReceiver, type CallbackReceiver } from '../support/callback-receiver.js'
import { createClient, type Client } from '../support/client.js'
import { startKafka, type KafkaBroker } from '../support/kafka.js'
import { openOutsideKafka, type OutsideKafka, type Read } from '../support/outside-kafka.js'
import { createKey, freePort, openDataDir, runCommand, startProduct, type Product, type Settings } from '../support/process.js'

const FIXTURE = resolve(import.meta.dirname, '../../docs/examples/hand-off-ring.ndjson')
const DAY_MS = 86_400_000
const SECRET = `whsec_${randomBytes(32).toString('base64')}`

interface WireDecision {
  event_id: string; outcome: string; basis: string; score: number | null; reasons: { code: string }[]; degraded: string[]
  versions: Record<string, string | null>; hold?: { hold_id: string }
}

/** What must not depend on the road. */
const essence = ({ outcome, basis, score, reasons, degraded, versions }: WireDecision): object =>
  ({ outcome, basis, score, codes: reasons.map(({ code }) => code), degraded, versions })

/** By event id, so that the order in which partitions are read does not matter. */
const essences = (texts: readonly string[]): Record<string, object> =>
  Object.fromEntries(texts.map((text) => JSON.parse(text) as WireDecision).map((decision): [string, object] => [decision.event_id, essence(decision)]))

/** The fixture as if its last event were an hour old: whole days later, since live events may be 90 days old and holds end before visits. */
async function recentLines(): Promise<string[]> {
  const text = await readFile(FIXTURE, 'utf8')
  const times = /\d{4}-\d\d-\d\dT[\d:.]+\+08:00/g
  const lastMs = Math.max(...[...text.matchAll(/"occurred_at":"([^"]+)"/g)].map(([, at = '']) => Date.parse(at)))
  const shiftMs = Math.floor((Date.now() - 3_600_000 - lastMs) / DAY_MS) * DAY_MS
  return text.replaceAll(times, (at) => new Date(Date.parse(at) + shiftMs).toISOString()).split('\n').filter((line) => line !== '')
}

/** A server on a broker of its own, and everything an outside program has to do with it. */
interface Site {
  broker: KafkaBroker; kafka: OutsideKafka; product: Product; receiver: CallbackReceiver; core: Client; reviewer: Client; settings: Settings
  /** Message values as text, by topic. */
  texts: (topic: string) => string[]
  messages: ReadonlyMap<string, Read[]>
  close(): Promise<void>
}

const OUT = ['booking-decisions', 'booking-holds', 'booking-events-dlq']

async function openSite(): Promise<Site | undefined> {
  const broker = await startKafka()
  if (broker === undefined) return undefined
  const receiver = await startCallbackReceiver(SECRET)
  const data = await openDataDir()
  const settings: Settings = {
    ZHENHAO_DATA_DIR: data.path, PORT: await freePort(), KAFKA_BROKERS: broker.brokers, ZHENHAO_TOKEN_KEY: randomBytes(32).toString('hex'),
    ZHENHAO_CALLBACK_URL: receiver.url, ZHENHAO_CALLBACK_SECRET: SECRET, LOG_LEVEL: 'warn',
  }
  const product = await startProduct(settings)
  const kafka = await openOutsideKafka(broker.brokers)
  const messages = new Map<string, Read[]>(OUT.map((topic) => [topic, []]))
  await kafka.follow(OUT, (topic, message) => { messages.get(topic)?.push(message) })
  const [core, reviewer] = await Promise.all([createKey('booking_core', settings), createKey('reviewer', settings)])
  return {
    broker, kafka, product, receiver, settings, messages, core: createClient(product.url, core), reviewer: createClient(product.url, reviewer),
    texts: (topic) => (messages.get(topic) ?? []).map(({ value }) => value.toString('utf8')),
    async close() {
      await kafka.close()
      await product.stop()
      await Promise.all([receiver.close(), broker.stop(), data.remove()])
    },
  }
}

describe('the same events by three roads', () => {
  let lines: string[] = []
  let requests = 0
  let replayed: Record<string, object> = {}
  let stream: Site | undefined
  let calls: Site | undefined

  beforeAll(async () => {
    lines = await recentLines()
    requests = lines.filter((line) => line.includes('"booking.requested"')).length
    const data = await openDataDir()
    const [file, out] = [join(data.path, 'events.ndjson'), join(data.path, 'decisions.ndjson')]
    await writeFile(file, lines.join('\n'))
    const { code, stderr } = await runCommand(['replay', file, '--decisions', out], { ZHENHAO_DATA_DIR: data.path })
    expect(code, stderr).toBe(0)
    replayed = essences((await readFile(out, 'utf8')).trim().split('\n'))
    await data.remove()
    stream = await openSite()
    calls = await openSite()
  })
  afterAll(async () => { await Promise.all([stream?.close(), calls?.close()]) })

  const on = (title: string, site: () => Site | undefined, body: (site: Site) => Promise<void>): void => {
    it(title, async ({ skip }) => { const open = site(); if (open === undefined) skip(); else await body(open) }, 90_000)
  }

  on('are decided on the topic as in replay', () => stream, async ({ kafka, texts }) => {
    await kafka.send('booking-events', lines.map((value) => ({ key: 'one schedule', value })))
    await vi.waitFor(() => { expect(texts('booking-decisions')).toHaveLength(requests) }, { timeout: 30_000 })
    const decided = essences(texts('booking-decisions'))
    expect(decided).toEqual(replayed)
    expect(Object.values(decided)).toContainEqual(expect.objectContaining({ outcome: 'hold' }))
  })

  const answers: string[] = []
  on('are decided over HTTP as in replay', () => calls, async ({ core }) => {
    for (const line of lines) {
      const isRequest = line.includes('"booking.requested"')
      const { status, text } = await core.call('POST', isRequest ? '/v1/score' : '/v1/events', { body: line })
      expect(status, text).toBe(200)
      if (isRequest) answers.push(text)
    }
    expect(essences(answers)).toEqual(replayed)
  })

  on('stand on booking-decisions with the very bytes that HTTP gave out', () => calls, async ({ texts }) => {
    await vi.waitFor(() => { expect(texts('booking-decisions')).toHaveLength(requests) }, { timeout: 30_000 })
    expect(texts('booking-decisions').sort()).toEqual([...answers].sort())
  })

  on('get the topic\'s bytes when HTTP asks again, in another envelope', () => stream, async ({ core, texts }) => {
    const known = new Set(texts('booking-decisions'))
    for (const line of lines.filter((text) => text.includes('"booking.requested"'))) {
      const { text } = await core.call('POST', '/v1/score', { body: { specversion: '1.0', id: 'x', source: '/x', type: 'x', data: JSON.parse(line) as unknown } })
      expect(known).toContain(text)
    }
    expect(texts('booking-decisions')).toHaveLength(requests)
  })

  on('place holds that end once, with the same bytes on the topic and in a signed callback', () => stream, async ({ reviewer, receiver, texts }) => {
    const held = texts('booking-decisions').map((text) => JSON.parse(text) as WireDecision).flatMap(({ hold }) => hold?.hold_id ?? [])
    const { text: list } = await reviewer.call('GET', '/v1/holds?status=active')
    const active = (JSON.parse(list) as { items: { hold_id: string }[] }).items.map(({ hold_id: id }) => id)
    const [first = '', second = ''] = active
    expect(held).toEqual(expect.arrayContaining(active))
    // The platform has cancelled some held orders of the file: their ends are on their way, too.
    const before = new Set(held).size - active.length
    await vi.waitFor(() => { expect(texts('booking-holds')).toHaveLength(before) }, { timeout: 15_000 })
    for (const [id, verb] of [[first, 'release'], [first, 'release'], [second, 'reject']] as const) {
      expect((await reviewer.call('POST', `/v1/holds/${id}/${verb}`, { body: { reason: 'looked at' } })).status).toBe(200)
    }
    expect((await reviewer.call('POST', `/v1/holds/${first}/reject`, { body: { reason: 'too late' } })).status).toBe(409)
    await vi.waitFor(() => { expect(texts('booking-holds')).toHaveLength(before + 2) }, { timeout: 15_000 })
    await vi.waitFor(() => { expect(receiver.received).toHaveLength(before + 2) }, { timeout: 15_000 })
    expect(receiver.received.map(({ body }) => body).sort()).toEqual(texts('booking-holds').sort())
    expect(receiver.forged).toBe(0)
    const ends = texts('booking-holds').map((text) => JSON.parse(text) as Record<string, string>)
    expect(ends).toContainEqual(expect.objectContaining({ hold_id: first, resolution: 'released', action: 'confirm' }))
    expect(ends).toContainEqual(expect.objectContaining({ hold_id: second, resolution: 'rejected', action: 'return_to_pool' }))
    for (const { id, body } of receiver.received) expect(body).toContain(`"hold_id":"${id}"`)
  })

  on('lose nothing to a poison message, which lands in the dead letters', () => stream, async ({ kafka, messages, texts }) => {
    const poison = '{"event_id":"poison-1","type":"booking.requested","occurred_at":"yesterday"}'
    const [request = ''] = lines.filter((line) => line.includes('"booking.requested"'))
    const after = request.replace(/"event_id":"[^"]+"/, '"event_id":"after-poison"').replace(/"order_id":"[^"]+"/, '"order_id":"after-poison"')
    await kafka.send('booking-events', [{ key: 'one schedule', value: poison }, { key: 'one schedule', value: after }])
    await vi.waitFor(() => { expect(texts('booking-decisions')).toContainEqual(expect.stringContaining('after-poison')) }, { timeout: 15_000 })
    const [letter] = messages.get('booking-events-dlq') ?? []
    expect(letter?.value.toString('utf8')).toBe(poison)
    expect(letter?.headers).toMatchObject({ topic: 'booking-events', status: '400', event_id: 'poison-1' })
    expect(JSON.parse(letter?.headers['reason'] ?? '')).toContainEqual(expect.objectContaining({ path: '/occurred_at' }))
  })

  on('need keys that somebody made: there are none for trying out', () => stream, async ({ product, settings }) => {
    await expect(readFile(join(settings['ZHENHAO_DATA_DIR'] ?? '', 'demo-keys.json'))).rejects.toThrow('ENOENT')
    expect((await createClient(product.url, '').call('POST', '/v1/score', { body: lines[1] })).status).toBe(401)
    const refused = await runCommand(['serve', '--check-config'], { ...settings, ZHENHAO_TOKEN_KEY: '' })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('ZHENHAO_TOKEN_KEY')
  })
})
