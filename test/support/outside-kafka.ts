import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

/** One message as an outside consumer reads it. */
export interface Read { key: string | null; value: Buffer; headers: Record<string, string> }

export interface OutsideKafka {
  /** Acknowledged when it resolves. */
  send(topic: string, messages: readonly { key: string | null; value: string }[]): Promise<void>
  /** Reads topics from their beginning on, as a consumer of its own group. */
  follow(topics: readonly string[], onMessage: (topic: string, message: Read) => void): Promise<Follower>
  close(): Promise<void>
}

export interface Follower {
  /** Resolves when everything that is on the topics at this moment has been read. */
  caughtUp(): Promise<void>
}

const CAUGHT_UP_WITHIN_MS = 60_000
/** A consumer that has read nothing for so long is asked about. */
const QUIET_MS = 5_000

/** A platform's own Kafka client: what is seen from outside, with none of our adapter between. */
export async function openOutsideKafka(brokers: string): Promise<OutsideKafka> {
  const kafka = new kafkajs.Kafka({ brokers: [brokers], clientId: 'outside', logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 20, maxRetryTime: 2_000 } })
  const admin = kafka.admin()
  const producer = kafka.producer({ idempotent: true, createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  const consumers = new Set<kafkajs.Consumer>()
  const watches: NodeJS.Timeout[] = []
  await Promise.all([admin.connect(), producer.connect()])

  return {
    async send(topic, messages) {
      await producer.send({ topic, acks: -1, messages: messages.map(({ key, value }) => ({ key, value })) })
    },
    async follow(topics, onMessage) {
      const seen = new Map<string, number>()
      let readAt = Date.now()
      let current: kafkajs.Consumer | undefined

      /** One consumer, from the beginning on: what an earlier one has read is passed over. */
      async function open(): Promise<void> {
        const consumer = kafka.consumer({ groupId: `outside-${randomUUID()}`, maxWaitTimeInMs: 100 })
        consumers.add(consumer)
        current = consumer
        await consumer.connect()
        await consumer.subscribe({ topics: [...topics], fromBeginning: true })
        await consumer.run({
          eachMessage: ({ topic, partition, message }) => {
            readAt = Date.now()
            const place = `${topic} ${partition}`
            if (consumer !== current || Number(message.offset) < (seen.get(place) ?? 0)) return Promise.resolve()
            const headers = Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]))
            onMessage(topic, { key: message.key?.toString('utf8') ?? null, value: message.value ?? Buffer.alloc(0), headers })
            seen.set(place, Number(message.offset) + 1)
            return Promise.resolve()
          },
        })
      }
      await open()
      const behind = async (): Promise<number> => {
        const ends = await Promise.all(topics.map(async (topic) => (await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => Number(high) - (seen.get(`${topic} ${partition}`) ?? 0))))
        return ends.flat().reduce((sum, count) => sum + count, 0)
      }
      // kafkajs stops for good, or stands still, after some deaths of a broker.
      const watching = setInterval(() => {
        if (Date.now() - readAt < QUIET_MS) return
        readAt = Date.now()
        const last = current
        void behind().then(async (count) => {
          if (count === 0 || current !== last) return
          if (last) consumers.delete(last)
          void last?.disconnect().catch(() => undefined)
          await open()
        }).catch(() => undefined)
      }, 1_000)
      watches.push(watching)
      return {
        async caughtUp() {
          for (const deadline = Date.now() + CAUGHT_UP_WITHIN_MS; await behind() > 0;) {
            if (Date.now() > deadline) throw new Error(`the outside consumer of ${topics.join(', ')} does not catch up`)
            await sleep(50)
          }
        },
      }
    },
    async close() {
      for (const watching of watches) clearInterval(watching)
      await Promise.all([...[...consumers].map((consumer) => consumer.disconnect()), producer.disconnect(), admin.disconnect()])
    },
  }
}
