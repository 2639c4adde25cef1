import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { TOPICS } from '../../src/ports/event-log.js'
import type { WireEvent } from './release-minute.js'

/** The platform's side of Kafka, with nothing of ours between: it sends events, and reads what comes of them. */
export interface Outside {
  /** Sends events in order, keyed as CONTRACT recommends; with `perSecond`, at that pace. Returns when each was sent, epoch ms, by event id. */
  send(events: readonly WireEvent[], perSecond?: number): Promise<Map<string, number>>
  /** Messages on a topic. */
  count(topic: string): Promise<number>
  /** Messages on `booking-events` that the product has not yet committed. */
  lag(): Promise<number>
  /** Reads a topic from its beginning to where it ends now. */
  readAll(topic: string, onMessage: (value: Buffer, timestampMs: number) => void): Promise<void>
  close(): Promise<void>
}

const BATCH = 500
/** What is due within one of these is sent together. */
const PACE_MS = 20
const READ_WITHIN_MS = 120_000
/** The product's consumer group. */
const GROUP = 'zhenhao'

export async function openOutside(brokers: string): Promise<Outside> {
  const kafka = new kafkajs.Kafka({ brokers: [brokers], clientId: 'bench', logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin(), producer = kafka.producer({ idempotent: true, createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await Promise.all([admin.connect(), producer.connect()])
  const highs = async (topic: string): Promise<Map<number, number>> => new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]))
  const total = (offsets: Iterable<number>): number => [...offsets].reduce((sum, n) => sum + n, 0)

  return {
    async send(events, perSecond) {
      const sentAt = new Map<string, number>()
      const began = performance.now()
      for (let at = 0; at < events.length;) {
        const due = perSecond === undefined ? at + BATCH : Math.floor((performance.now() - began) * perSecond / 1000)
        const some = events.slice(at, Math.min(due, at + BATCH))
        if (some.length === 0) { await sleep(PACE_MS); continue }
        at += some.length
        const now = Date.now()
        for (const { id } of some) sentAt.set(id, now)
        await producer.send({ topic: TOPICS.events, acks: -1, messages: some.map(({ key, json }) => ({ key, value: json })) })
      }
      return sentAt
    },
    count: async (topic) => total((await highs(topic)).values()),
    async lag() {
      const [group] = await admin.fetchOffsets({ groupId: GROUP, topics: [TOPICS.events] })
      return total((await highs(TOPICS.events)).values()) - total((group?.partitions ?? []).map(({ offset }) => Math.max(0, Number(offset))))
    },
    async readAll(topic, onMessage) {
      const left = new Map([...await highs(topic)].filter(([, high]) => high > 0))
      if (left.size === 0) return
      const consumer = kafka.consumer({ groupId: `bench-${randomUUID()}`, maxWaitTimeInMs: 50 })
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const late = sleep(READ_WITHIN_MS, 'late', { ref: false })
      const all = new Promise<void>((resolve, reject) => {
        consumer.run({
          eachMessage: ({ partition, message }) => {
            const end = left.get(partition)
            if (end === undefined || Number(message.offset) >= end) return Promise.resolve()
            onMessage(message.value ?? Buffer.alloc(0), Number(message.timestamp))
            if (Number(message.offset) === end - 1) left.delete(partition)
            if (left.size === 0) resolve()
            return Promise.resolve()
          },
        }).catch(reject)
      })
      const outcome = await Promise.race([all, late])
      await consumer.disconnect()
      if (outcome === 'late') throw new Error(`${topic} could not be read to its end in ${READ_WITHIN_MS} ms`)
    },
    async close() { await Promise.all([admin.disconnect(), producer.disconnect()]) },
  }
}
