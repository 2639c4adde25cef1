import { randomUUID } from 'node:crypto'
import kafkajs, { type Kafka } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createKafkaEventLog, type KafkaEventLogOptions } from '../../src/adapters/kafka/event-log.js'
import type { Engine, Processed } from '../../src/pipeline/engine.js'
import { runStream } from '../../src/pipeline/stream.js'
import { TOPICS, type EventLog, type InMessage, type OutMessage } from '../../src/ports/event-log.js'
import { startKafka, type KafkaBroker } from '../support/kafka.js'

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const LONG = 120_000
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Counts each event id; refuses what is not JSON. `broken` is a store that takes effect but cannot say so. */
function tinyEngine(run: string) {
  const times = new Map<string, number>()
  const state = { broken: false }
  const engine: Engine = {
    process: ({ body }): Promise<Processed> => {
      const text = Buffer.isBuffer(body) ? body.toString() : ''
      if (text.startsWith('poison')) return Promise.resolve({ kind: 'rejected', status: 400, errors: [{ path: '', message: 'is not JSON' }] })
      const { event_id: eventId, run: from } = JSON.parse(text) as { event_id: string; run: string }
      if (from !== run) return Promise.resolve({ kind: 'accepted', eventId, duplicate: false })
      times.set(eventId, (times.get(eventId) ?? 0) + 1)
      if (state.broken) return Promise.reject(new Error('the acknowledgement was lost'))
      return Promise.resolve({ kind: 'accepted', eventId, duplicate: times.get(eventId) !== 1 })
    },
  }
  return { engine, times, state }
}

describe('the stream worker on a real Kafka broker', () => {
  let broker: KafkaBroker | undefined
  let outside: Kafka
  const opened: EventLog[] = []

  beforeAll(async () => {
    broker = await startKafka()
    if (broker !== undefined) outside = new kafkajs.Kafka({ brokers: [broker.brokers], clientId: 'outside', logLevel: kafkajs.logLevel.NOTHING })
  })
  afterEach(async () => { await Promise.all(opened.splice(0).map(log => log.close())) })
  afterAll(async () => { await broker?.stop() })

  const test = (title: string, body: (real: KafkaBroker) => Promise<void>) => {
    it(title, async ({ skip }) => { if (broker === undefined) skip(); else await body(broker) }, LONG)
  }
  const open = (real: KafkaBroker, more: Partial<KafkaEventLogOptions> = {}): EventLog => {
    const fixed = { brokers: [real.brokers], clientId: `test-${opened.length}`, log: quiet, partitions: 4, sessionTimeoutMs: 6_000 }
    const log = createKafkaEventLog({ ...fixed, ...more })
    opened.push(log)
    return log
  }
  const readAll = async (log: EventLog, wanted: number): Promise<InMessage[]> => {
    const seen: InMessage[] = []
    const subscription = await log.subscribe(TOPICS.deadLetters, randomUUID(), messages => {
      seen.push(...messages)
      return Promise.resolve(messages.length)
    })
    await vi.waitFor(() => { expect(seen.length).toBeGreaterThanOrEqual(wanted) }, { timeout: 30_000 })
    await subscription.stop()
    return seen
  }

  test('creates missing topics once, dead letters with 7 days and room for the largest message', async real => {
    await Promise.all([open(real).ensureTopics(), open(real).ensureTopics()])
    const admin = outside.admin()
    await admin.connect()
    const { topics } = await admin.fetchTopicMetadata({ topics: Object.values(TOPICS) })
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: TOPICS.deadLetters, configNames: ['retention.ms', 'max.message.bytes'] }],
    })
    await admin.disconnect()
    expect(topics.map(({ partitions }) => partitions.length)).toEqual([4, 4, 4, 4])
    const values = Object.fromEntries((resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]))
    expect(values).toEqual({ 'retention.ms': '604800000', 'max.message.bytes': '2097152' })
  })

  test('gets 5,000 messages with poison among them through a worker that dies halfway and the next one', async real => {
    const run = randomUUID()
    const group = `workers-${run}`
    const log = open(real)
    const isPoison = (n: number) => n % 50 === 49
    const messages: OutMessage[] = range(5_000).map(n => ({
      key: `s-${n % 40}`,
      value: isPoison(n)
        ? Buffer.concat([Buffer.from(`poison ${run} ${n} `), Buffer.from([0xff, 0x00])])
        : JSON.stringify({ event_id: `e-${n}`, run, padding: 'x'.repeat(800) }),
    }))
    await log.publish(TOPICS.events, messages)
    const first = tinyEngine(run)
    const worker = { log, group, now: Date.now }
    const dying = await runStream({ ...worker, log: quiet, eventLog: log, engine: {
      process: raw => { first.state.broken ||= first.times.size >= 2_000; return first.engine.process(raw) },
    } })
    await vi.waitFor(() => { expect(first.state.broken).toBe(true) }, { timeout: 30_000 })
    await dying.stop()

    const second = tinyEngine(run)
    const next = await runStream({ ...worker, log: quiet, eventLog: open(real), engine: second.engine })
    await vi.waitFor(() => { expect(new Set([...first.times.keys(), ...second.times.keys()]).size).toBe(4_900) }, { timeout: 30_000 })
    await vi.waitFor(async () => { expect(await next.lag()).toBe(0) }, { timeout: 30_000 })
    await next.stop()
    // What took effect without being acknowledged was delivered again; what was acknowledged was not.
    const again = [...second.times.keys()].filter(id => first.times.has(id))
    expect(again.length).toBeGreaterThan(0)
    expect(again.length).toBeLessThan(first.times.size)

    const poison = messages.filter((_, n) => isPoison(n)).map(({ value }) => Buffer.from(value).toString('base64'))
    const letters = (await readAll(log, poison.length)).filter(({ value }) => value?.includes(run))
    expect(new Set(letters.map(({ value }) => value?.toString('base64')))).toEqual(new Set(poison))
    for (const { headers } of letters) {
      expect(headers).toEqual({
        topic: 'booking-events', partition: expect.stringMatching(/^[0-3]$/) as string, offset: expect.stringMatching(/^\d+$/) as string,
        status: '400', reason: '[{"path":"","message":"is not JSON"}]',
      })
    }
  })

  test('makes a dead letter of a tombstone and moves on', async real => {
    const run = randomUUID()
    const producer = outside.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await producer.connect()
    const after = { key: run, value: JSON.stringify({ event_id: 'after', run }) }
    await producer.send({ topic: TOPICS.events, messages: [{ key: run, value: null }, after] })
    await producer.disconnect()
    const log = open(real)
    const { engine, times } = tinyEngine(run)
    const worker = await runStream({ eventLog: log, engine, group: run, log: quiet, now: Date.now })
    await vi.waitFor(() => { expect(times.has('after')).toBe(true) }, { timeout: 30_000 })
    await worker.stop()
    const letters = await readAll(log, 1)
    expect(letters.some(({ value, headers }) => value?.length === 0 && headers['reason']?.includes('tombstone'))).toBe(true)
  })

  test('refuses a message that is too large without failing those published beside it', async real => {
    const log = open(real)
    const run = randomUUID()
    const { engine, times } = tinyEngine(run)
    const message = (id: string, size: number) => ({ key: id, value: JSON.stringify({ event_id: id, run, padding: 'x'.repeat(size) }) })
    const results = await Promise.allSettled([
      log.publish(TOPICS.events, [message('before', 10)]), log.publish(TOPICS.events, [message('huge', 1_100_000)]),
      log.publish(TOPICS.events, [message('beside', 700_000)]), log.publish(TOPICS.events, [message('after', 10)]),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    const worker = await runStream({ eventLog: log, engine, group: run, log: quiet, now: Date.now })
    await vi.waitFor(() => { expect([...times.keys()].sort()).toEqual(['after', 'before', 'beside']) }, { timeout: 30_000 })
    await worker.stop()
  })

  test('refuses what is too large for a topic with a small limit, and only that', async real => {
    const log = open(real)
    const admin = outside.admin()
    await admin.connect()
    await admin.alterConfigs({ validateOnly: false, resources: [
      { type: kafkajs.ConfigResourceTypes.TOPIC, name: TOPICS.holds, configEntries: [{ name: 'max.message.bytes', value: '50000' }] },
    ] })
    await admin.disconnect()
    const sizes = [10_000, 60_000, 40_000, 30_000]
    const results = await Promise.allSettled(sizes.map(size => log.publish(TOPICS.holds, [{ key: 'k', value: 'x'.repeat(size) }])))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  })

  test('gets every message through a crash of the broker, says meanwhile that it is down, and comes back by itself', async real => {
    const run = randomUUID()
    const crashes: Error[] = []
    const log = open(real, { onCrash: error => { crashes.push(error) } })
    const { engine, times } = tinyEngine(run)
    const worker = await runStream({ eventLog: log, engine, group: run, log: quiet, now: Date.now })
    const message = (n: number) => ({ key: `k${n % 40}`, value: JSON.stringify({ event_id: `e-${n}`, run }) })
    const publish = (from: number) => log.publish(TOPICS.events, range(1_000).map(n => message(from + n)))
    await publish(0)
    const overlapping = publish(1_000)
    await real.kill('SIGKILL')
    const during = publish(2_000)
    await vi.waitFor(() => { expect(crashes.length).toBeGreaterThan(0) }, { timeout: 20_000 })
    await expect(log.ping()).rejects.toThrow()
    await real.restart()
    await Promise.all([overlapping, during])
    await vi.waitFor(() => { expect(times.size).toBe(3_000) }, { timeout: 60_000 })
    await vi.waitFor(() => log.ping(), { timeout: 30_000 })
    await worker.stop()
  })

  test('says that nothing is being read while the broker is frozen, and goes on when it wakes', async real => {
    const run = randomUUID()
    const crashes: Error[] = []
    const log = open(real, { onCrash: error => { crashes.push(error) } })
    const { engine, times } = tinyEngine(run)
    const worker = await runStream({ eventLog: log, engine, group: run, log: quiet, now: Date.now })
    await real.kill('SIGSTOP')
    try {
      await vi.waitFor(() => { expect(crashes.length).toBeGreaterThan(0) }, { timeout: 20_000 })
      await expect(log.ping()).rejects.toThrow()
      expect(await worker.lag()).toBeUndefined()
    } finally {
      await real.kill('SIGCONT')
    }
    await log.publish(TOPICS.events, [{ key: 'k', value: JSON.stringify({ event_id: 'awake', run }) }])
    await vi.waitFor(() => { expect(times.has('awake')).toBe(true) }, { timeout: 60_000 })
    await vi.waitFor(() => log.ping(), { timeout: 30_000 })
    await worker.stop()
  })

  test('says which topic cannot be read when it subscribes to one that is not there', async () => {
    const bare = await startKafka()
    if (bare === undefined) throw new Error('Kafka was there a moment ago')
    const log = open(bare)
    const subscribing = log.subscribe(TOPICS.events, 'g', messages => Promise.resolve(messages.length))
    await expect(subscribing).rejects.toThrow('This server does not host this topic-partition')
    await log.close()
    await bare.stop()
  })
})

describe('a Kafka broker that lets nobody create topics', () => {
  it('is named as the reason, with the topic that is missing', async ({ skip }) => {
    const broker = await startKafka({ properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:broker',
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT', 'sasl.enabled.mechanisms': 'PLAIN',
      'sasl.mechanism.controller.protocol': 'PLAIN', 'listener.name.controller.sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.controller.plain.sasl.jaas.config':
        'org.apache.kafka.common.security.plain.PlainLoginModule required username="broker" password="of-the-test" user_broker="of-the-test";',
    } })
    if (broker === undefined) { skip(); return }
    const log = createKafkaEventLog({ brokers: [broker.brokers], clientId: 'nobody', log: quiet })
    await expect(log.ensureTopics()).rejects.toThrow(/booking-events is missing .*TOPIC_AUTHORIZATION_FAILED.*please create it/)
    await log.close()
    await broker.stop()
  }, LONG)
})
