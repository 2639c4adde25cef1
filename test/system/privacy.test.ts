import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { holderOf } from '../../src/adapters/file/data-dir.js'
import { openHistory } from '../../src/adapters/clickhouse/history-store.js'
import { TOPICS } from '../../src/ports/event-log.js'
import type { Recorded } from '../../src/domain/record.js'
import { startCallbackReceiver, type CallbackReceiver } from '../support/callback-receiver.js'
import { createClient, type Answer, type Client } from '../support/client.js'
import { startKafka, type KafkaBroker } from '../support/kafka.js'
import { openOutsideKafka } from '../support/outside-kafka.js'
import { createKey, freePort, openDataDir, runCommand, startProduct, type Product, type Settings } from '../support/process.js'
import { createSecretSearch, type Secret, type SecretSearch } from '../support/secret-search.js'
import { everyClickHouseColumn, everyFile, everyPostgresColumn, type Stored } from '../support/stored-text.js'
import { cityTraffic, type WireEvent } from '../support/traffic.js'

interface WirePatient { id_number: string; name: string; phone: string; birth_date: string }

const patientIn = (event: WireEvent): WirePatient | undefined => event['patient'] as WirePatient | undefined

/** What must not be found of each person. Short pieces count only where they stand alone, since timestamps are full of digits. */
function secretsOf(patients: readonly WirePatient[]): Secret[] {
  return patients.flatMap(({ id_number: id, name, phone, birth_date: birth }, n) => {
    const digits = birth.replaceAll('-', '')
    return [
      { what: `ID ${n}`, value: id }, { what: `first 14 of ID ${n}`, value: id.slice(0, 14) }, { what: `last 12 of ID ${n}`, value: id.slice(6) },
      { what: `last 8 of ID ${n}`, value: id.slice(-8), alone: true }, ...(id.endsWith('X') ? [{ what: `last 6 of ID ${n}`, value: id.slice(-6) }] : []),
      { what: `phone ${n}`, value: phone }, ...written(phone, id).map((value) => ({ what: `phone or ID ${n}, written otherwise`, value })), { what: `name ${n}`, value: name }, { what: `birth date ${n}`, value: birth }, { what: `birth date ${n}`, value: digits, alone: true },
    ]
  })
}

/** As people type numbers: with dashes, spaces, full-width digits. */
const written = (phone: string, id: string): [string, string, string] => [
  `${phone.slice(0, 3)}-${phone.slice(3, 7)}-${phone.slice(7)}`, `${id.slice(0, 6)} ${id.slice(6, 14)} ${id.slice(14)}`,
  phone.replaceAll(/\d/g, (digit) => String.fromCharCode(digit.charCodeAt(0) + 0xfee0)),
]

const HOLD_REASON = 'spoke with the patient'
const PEOPLE = 1_000
/** So many events bring a thousand different people. */
const EVENTS = 5_000

describe('the search', () => {
  const secrets: Secret[] = [{ what: 'ID', value: '11010119900307001X' }, { what: 'name', value: '王琮骞' }, { what: 'tail', value: '07001X' }, { what: 'born', value: '19900307', alone: true }]
  const search = createSecretSearch(secrets)
  const around = (bytes: Buffer | string): Buffer => Buffer.concat([randomBytes(1_000), Buffer.from(bytes), randomBytes(1_000)])

  it.each([
    ['UTF-8', 'ID: 11010119900307001X.'], ['a name', '{"name":"王琮骞"}'], ['UTF-16', Buffer.from('王琮骞', 'utf16le')], ['UTF-16BE', Buffer.from('王琮骞', 'utf16le').swap16()],
    ['hex', Buffer.from('11010119900307001X').toString('hex')], ['upper hex', Buffer.from('王琮骞').toString('hex').toUpperCase()],
    ['base64', Buffer.from('{"id":"11010119900307001X"}').toString('base64')], ['shifted base64', Buffer.from('.{"id":"11010119900307001X"}').toString('base64')],
    ['base64 shifted twice', Buffer.from('..{"name":"王琮骞"}').toString('base64')], ['base64url', Buffer.from('{"name":"王琮骞"}').toString('base64url')],
    ['JSON escapes', '"\\u738b\\u742e\\u9a9e"'], ['a URL', encodeURIComponent('王琮骞')], ['an end alone', 'ends in 07001X'], ['a birth date alone', 'born 19900307,'],
  ])('finds a leak as %s', (_form, leak) => {
    expect(search.find(around(leak)).length).toBeGreaterThan(0)
  })

  it('finds nothing where nothing leaked', () => {
    expect(search.find(around('{"province":"11","age":36,"sex":"M","id":"110****7","at":1990030712345}'))).toEqual([])
  })
})

describe('a thousand people who go through the whole product', () => {
  let broker: KafkaBroker | undefined
  let receiver: CallbackReceiver
  let product: Product
  let stop: (() => Promise<void>) | undefined
  let search: SecretSearch
  let secrets: Secret[]
  let dataDir = ''
  let databaseUrl = ''
  /** Bodies, URLs and headers that came back to the outside, by road. */
  const seen = new Map<string, string[]>()
  const note = (road: string, text: string): void => {
    const texts = seen.get(road)
    if (texts) texts.push(text)
    else seen.set(road, [text])
  }
  const spied = (client: Client): Client => {
    const spy = (send: Client['call']): Client['call'] => async (...args) => {
      const answer: Answer = await send(...args)
      note('HTTP answers', `${answer.status} ${JSON.stringify([...answer.headers])} ${answer.text}`)
      return answer
    }
    return { call: spy((...args) => client.call(...args)), insist: spy((...args) => client.insist(...args)) }
  }

  beforeAll(async () => {
    broker = await startKafka()
    if (broker === undefined) return
    const webhookSecret = `whsec_${randomBytes(32).toString('base64')}`
    receiver = await startCallbackReceiver(webhookSecret)
    const data = await openDataDir()
    const elsewhere = await openDataDir()
    dataDir = data.path
    const settings: Settings = {
      ZHENHAO_DATA_DIR: dataDir, PORT: await freePort(), KAFKA_BROKERS: broker.brokers, ZHENHAO_TOKEN_KEY: randomBytes(32).toString('hex'),
      ZHENHAO_CALLBACK_URL: receiver.url, ZHENHAO_CALLBACK_SECRET: webhookSecret, LOG_LEVEL: 'trace',
    }
    product = await startProduct(settings)
    const kafka = await openOutsideKafka(broker.brokers)
    stop = async () => {
      await kafka.close()
      await product.stop()
      await Promise.all([receiver.close(), broker?.stop(), data.remove(), elsewhere.remove()])
    }
    const topics = [TOPICS.decisions, TOPICS.holds, TOPICS.deadLetters]
    const follower = await kafka.follow(topics, (topic, { key, value, headers }) => {
      // Of a dead letter only its raw bytes may hold an identity.
      note(topic, topic === TOPICS.deadLetters ? JSON.stringify(headers) : `${key ?? ''} ${value.toString('utf8')}`)
    })
    const [core, reviewer] = (await Promise.all(['booking_core', 'reviewer'].map((role) => createKey(role, settings)))).map((key) => spied(createClient(product.url, key)))
    if (!core || !reviewer) throw new Error('keys are missing')

    const stories = cityTraffic({ seed: 11, events: EVENTS, endMs: Date.now(), hospitals: ['h-1', 'h-2'] })
    const patients = stories.flatMap(({ events }) => events.flatMap((event) => patientIn(event) ?? []))
    secrets = secretsOf(patients)
    search = createSecretSearch(secrets)
    expect(new Set(patients.map(({ id_number: id }) => id)).size).toBeGreaterThanOrEqual(PEOPLE)

    const recorded: WireEvent[] = []
    for (const [n, { events }] of stories.entries()) {
      const all = [...events, ...gossip(events, n)]
      if (n % 5 === 4) recorded.push(...all)
      else await sendBy(['score', 'topic', 'lines', 'envelope'][n % 5] ?? '', all, core, kafka)
    }
    await writeFile(join(elsewhere.path, 'events.ndjson'), [...recorded, ...recorded.slice(0, 20).map(spoil)].map((event) => JSON.stringify(event)).join('\n'))
    for (const flags of [['--record'], ['--decisions', join(elsewhere.path, 'decisions.ndjson'), '--rejects', join(elsewhere.path, 'rejects.ndjson')]]) {
      const { code, stdout, stderr } = await runCommand(['replay', join(elsewhere.path, 'events.ndjson'), ...flags], settings)
      expect(code, stderr).toBe(0)
      note('replay', stdout + stderr)
    }
    await follower.caughtUp()
    await reviewAll(reviewer, core, patients)
    await vi.waitFor(() => { expect(receiver.received.length).toBeGreaterThan(50) }, { timeout: 30_000 })
    databaseUrl = (await holderOf(dataDir))?.databaseUrl ?? ''
    await follower.caughtUp()
    for (const { body } of receiver.received) note('callbacks', body)
    for (const envelope of receiver.envelopes) note('callbacks', envelope)
  }, 300_000)
  afterAll(async () => { await stop?.() })

  const test = (title: string, body: () => Promise<void> | void): void => {
    it(title, async ({ skip }) => { if (broker === undefined) skip(); else await body() }, 240_000)
  }
  const searchAll = async (stored: AsyncIterable<Stored>): Promise<{ places: number; bytes: number; found: unknown[] }> => {
    const total = { places: 0, bytes: 0, found: [] as unknown[] }
    for await (const { place, bytes } of stored) {
      total.places++
      total.bytes += bytes.length
      const found = search.find(bytes, 3)
      if (found.length > 0) total.found.push({ place, found })
    }
    return total
  }

  test('leave nothing in HTTP answers, topics, callbacks and what commands print', () => {
    expect([...seen.keys()].sort()).toEqual(['HTTP answers', TOPICS.decisions, TOPICS.deadLetters, TOPICS.holds, 'callbacks', 'replay'].sort())
    for (const [road, texts] of seen) expect({ road, found: search.find(Buffer.from(texts.join('\n'))) }).toEqual({ road, found: [] })
  })

  test('leave nothing in any column of PostgreSQL', async () => {
    const { places, bytes, found } = await searchAll(everyPostgresColumn(databaseUrl))
    expect(found).toEqual([])
    expect(places).toBeGreaterThan(20)
    expect(bytes).toBeGreaterThan(10_000)
  })

  test('leave nothing in the log, even at its most talkative', async () => {
    await product.stop()
    expect(product.output().length).toBeGreaterThan(10_000)
    expect(search.find(Buffer.from(product.output()))).toEqual([])
  })

  test('leave nothing in any file below the data directory', async () => {
    const { places, bytes, found } = await searchAll(everyFile(dataDir))
    expect(found).toEqual([])
    expect(places).toBeGreaterThan(100)
    expect(bytes).toBeGreaterThan(10_000_000)
    // The search itself is not blind here: one planted line is found among all these files.
    await writeFile(join(dataDir, 'journal', 'planted'), Buffer.from(secrets[0]?.value ?? '').toString('base64'))
    expect((await searchAll(everyFile(join(dataDir, 'journal')))).found).toHaveLength(1)
  })

  test('leave nothing in any column of ClickHouse', async () => {
    const { bytes, found } = await searchAll(everyClickHouseColumn(join(dataDir, 'clickhouse')))
    expect(found).toEqual([])
    expect(bytes).toBeGreaterThan(1_000_000)
  })

  test('are at least 100,000 who fit, for each recorded row', async () => {
    const history = openHistory({ path: join(dataDir, 'clickhouse') })
    let people = 0
    try {
      for await (const records of history.read(1)) for (const record of records) {
        if (!record.event.patient) continue
        people++
        expect(candidatesOf(record)).toBeGreaterThanOrEqual(100_000)
      }
    } finally {
      await history.close()
    }
    expect(people).toBeGreaterThanOrEqual(PEOPLE)
  })
})

/** What else is said of the people in these events, in every place where the contract takes free words. */
function gossip(events: readonly WireEvent[], n: number): WireEvent[] {
  const request = events.find(({ type }) => type === 'booking.requested')
  const patient = request && patientIn(request)
  if (!request || !patient) return []
  const { id_number: id, name, phone } = patient
  const { occurred_at: at, order_id: order = '', account, slot } = request
  const common = { occurred_at: at }
  const words = `${name} ${phone} ${id}`
  const [dashed, spaced, wide] = written(phone, id)
  return [
    { ...common, event_id: `x-${n}-1`, type: 'patient.bound', account, patient },
    { ...common, event_id: `x-${n}-2`, type: 'booking.cancelled', order_id: `other-${n}`, cancel: { by: 'patient', reason: `${name} asked from ${phone}` } },
    { ...common, event_id: `x-${n}-3`, type: 'abuse.reported', subject: { kind: 'person', name, phone }, report: words },
    { ...common, event_id: `x-${n}-4`, type: 'schedule.stopped', slot: { ...slot, schedule_id: `stopped-${n}` }, reason: words } as WireEvent,
    { ...request, event_id: `x-${n}-5`, order_id: `${order}-again`, comment: words, device: { id: phone, model: `phone of ${phone}`, os: id, app_version: wide }, session: { id: `s${phone}` }, payer: { id: phone }, operator: { id, seat: phone } },
    { ...request, event_id: `x-${n}-6`, order_id: `${order}-more`, device: { id: spaced, model: `of ${dashed}`, os: spaced }, session: { id: wide } },
    ...(n % 4 === 0 ? [spoil(request)] : []),
  ]
}

let spoiled = 0
/** The same booking with a fault that quotes the person. */
function spoil(event: WireEvent): WireEvent {
  const { id_number: id = '', name = '', phone = '' } = patientIn(event) ?? {}
  const turn = spoiled++
  const base: WireEvent = { ...event, event_id: `bad-${turn}` }
  const faults: Partial<WireEvent>[] = [{ occurred_at: `${name} ${phone}` }, { order_id: id }, { event_id: `e-${phone}` }, { channel: { id, kind: name } }, { network: { ip: phone } }, { type: `booking.${name}` }]
  return { ...base, ...faults[turn % faults.length] }
}

type Kafka = Awaited<ReturnType<typeof openOutsideKafka>>

async function sendBy(road: string, events: readonly WireEvent[], core: Client, kafka: Kafka): Promise<void> {
  const envelope = (event: WireEvent): object => ({ specversion: '1.0', id: event.event_id, source: '/platform', type: event.type, subject: patientIn(event)?.name, data: event })
  switch (road) {
    case 'score':
      for (const event of events) await core.insist('POST', event.type.startsWith('booking.requested') || event.event_id.startsWith('bad') ? '/v1/score' : '/v1/events', { body: event })
      return
    case 'lines':
      await core.insist('POST', '/v1/events', { type: 'application/x-ndjson', body: [...events.map((event) => JSON.stringify(event)), `not JSON ${patientIn(events[0] ?? { event_id: '', type: '', occurred_at: '' })?.name ?? ''}`].join('\n') })
      return
    case 'envelope':
      await kafka.send(TOPICS.events, events.map((event) => ({ key: patientIn(event)?.phone ?? null, value: JSON.stringify(envelope(event)) })))
      return
    default:
      await kafka.send(TOPICS.events, events.map((event) => ({ key: event.slot?.schedule_id ?? null, value: JSON.stringify(event) })))
  }
}

/** A day at the desk, with a few slips: identities in URLs and in reasons. */
async function reviewAll(reviewer: Client, core: Client, patients: readonly WirePatient[]): Promise<void> {
  const { items } = JSON.parse((await reviewer.insist('GET', '/v1/holds?status=active&limit=200')).text) as { items: { hold_id: string; event_id: string }[] }
  expect(items.length).toBeGreaterThan(60)
  for (const [n, { hold_id: hold, event_id: event }] of items.slice(0, 70).entries()) {
    await reviewer.insist('GET', `/v1/decisions/${event}`)
    const slip = await reviewer.insist('POST', `/v1/holds/${hold}/release`, { body: { reason: `called ${patients[n]?.phone ?? ''}` } })
    expect(slip.status).toBe(400)
    await reviewer.insist('POST', `/v1/holds/${hold}/${n % 2 === 0 ? 'release' : 'reject'}`, { body: { reason: HOLD_REASON } })
    await sleep(60)
  }
  for (const { id_number: id, name, phone } of patients.slice(0, 5)) {
    for (const path of [`/v1/decisions/${id}`, `/v1/holds/${phone}`, `/v1/${encodeURIComponent(name)}`, `/v1/holds?hospital_id=${encodeURIComponent(name)}&cursor=${id}`]) await reviewer.call('GET', path)
    await core.call('GET', `/v1/decisions/${phone}?name=${encodeURIComponent(name)}`)
  }
  for (const path of ['/metrics', '/readyz', '/openapi.json']) await core.call('GET', path)
}

/** Behind the door: what docs/identity.md says stays, and nothing else that would narrow a person down. */
const KEPT_OF_PATIENT = ['token', 'idType', 'id', 'name', 'phone', 'sex', 'age', 'relation', 'boundAt']
const KEPT_OF_ID = ['possible', 'checksumValid', 'prefixToken', 'province', 'sexAgrees', 'birthDateAgrees']

/** ID numbers that agree with all that one row tells, in a province of a single region code: the worst there is. */
function candidatesOf({ event: { patient } }: Recorded): number {
  if (!patient) return Infinity
  const unknown = [...Object.keys(patient).filter((key) => !KEPT_OF_PATIENT.includes(key)), ...Object.keys(patient.id ?? {}).filter((key) => !KEPT_OF_ID.includes(key))]
  // A field that nobody has counted may tell anything.
  if (unknown.length > 0 || (patient.id?.province.length ?? 0) > 2 || !Number.isInteger(patient.age ?? 0)) return 0
  const birthDates = patient.age === undefined ? 110 * 365 : 365
  const sequences = patient.sex === undefined ? 1_000 : 500
  return birthDates * sequences
}
