import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type Producer } from 'kafkajs'
import type { OutMessage, Topic } from '../../ports/event-log.js'
import { asError, backOffMs, newClient, protocolErrorOf, type Connection } from './client.js'

/** Most messages and bytes in one request. All may fall into one partition, whose batch must stay under max.message.bytes (1 MiB). */
const MAX_MESSAGES = 1_000
const MAX_BYTES = 768 * 1024
/** Record framing of one message in a batch, rounded up. */
const MESSAGE_OVERHEAD_BYTES = 70
/** How long a message may wait for its acknowledgement, its time in the queue included, before the caller is told. */
const DELIVERY_TIMEOUT_MS = 30_000

/** Errors that no retry can heal. */
const PERMANENT = new Set([
  'MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED', 'INVALID_RECORD',
])
const isPermanent = (error: unknown): boolean => PERMANENT.has(protocolErrorOf(error) ?? '')

/** A piece of one publish call. */
interface Parcel { topic: Topic; messages: OutMessage[]; bytes: number; call: Call }
/** Whom to tell. */
interface Call { parcelsLeft: number; publishedAt: number; resolve(): void; reject(error: Error): void }

export interface Publisher {
  publish(topic: Topic, messages: readonly OutMessage[]): Promise<void>
  close(): Promise<void>
}

/**
 * Sends what was published in one tick, or while the last request was on its way, as one idempotent acks=all request.
 * One request at a time keeps the order per key; a failure is retried with a fresh producer before anything later is sent.
 */
export function createPublisher(connection: Connection): Publisher {
  const queue: Parcel[] = []
  let producer: Promise<Producer> | undefined
  let draining: Promise<void> | undefined
  let closed = false

  const connect = async (): Promise<Producer> => {
    const fresh = newClient(connection)
      .producer({ idempotent: true, allowAutoTopicCreation: false, createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await fresh.connect()
    return fresh
  }

  const dropProducer = async () => {
    const old = producer
    producer = undefined
    await old?.then(open => open.disconnect()).catch(() => undefined)
  }

  const send = async (load: readonly Parcel[]) => {
    const topicMessages = load.map(({ topic, messages }) => ({ topic, messages }))
    // The head is the oldest. What waits behind it through an outage gets one try, not its turn of as long a wait.
    const deadline = (load[0]?.call.publishedAt ?? 0) + DELIVERY_TIMEOUT_MS
    for (let failures = 0; ; failures++) {
      try {
        producer ??= connect()
        await (await producer).sendBatch({ acks: -1, topicMessages })
        return
      } catch (error) {
        // After a failure the broker's idea of our sequence numbers is unknown: only a new producer id is safe.
        await dropProducer()
        if (isPermanent(error) || Date.now() > deadline) throw error
        connection.log.warn({ failures: failures + 1, error: asError(error).message }, 'Kafka did not take messages; they will be sent again')
        await sleep(backOffMs(failures))
      }
    }
  }

  /** Sends a load and settles its calls. One bad parcel must not fail its neighbours. */
  const deliver = async (load: readonly Parcel[]): Promise<void> => {
    try {
      await send(load)
      for (const { call } of load) if (--call.parcelsLeft === 0) call.resolve()
    } catch (error) {
      if (load.length > 1 && isPermanent(error)) {
        for (const parcel of load) await deliver([parcel])
        return
      }
      for (const { call } of load) fail(call, asError(error))
    }
  }

  /** The rest of a failed call is not sent: its caller will send all of it again, in order. */
  const fail = (call: Call, error: Error) => {
    call.reject(error)
    queue.splice(0, queue.length, ...queue.filter(parcel => parcel.call !== call))
  }

  const drain = async () => {
    await new Promise(setImmediate)
    while (queue.length > 0) await deliver(takeLoad(queue))
    draining = undefined
  }

  return {
    publish: (topic, messages) => new Promise<void>((resolve, reject) => {
      if (closed) { reject(new Error('The event log is closed')); return }
      if (messages.length === 0) { resolve(); return }
      const call = { parcelsLeft: 0, publishedAt: Date.now(), resolve, reject }
      const parcels = packParcels(topic, messages, call)
      call.parcelsLeft = parcels.length
      queue.push(...parcels)
      draining ??= drain()
    }),
    close: async () => {
      closed = true
      await draining
      await dropProducer()
    },
  }
}

const bytesOf = ({ key, value, headers }: OutMessage): number => {
  let bytes = MESSAGE_OVERHEAD_BYTES + Buffer.byteLength(value) + (key === null ? 0 : Buffer.byteLength(key))
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name] ?? '') + 10
  return bytes
}

/** Cuts a call into parcels, each small enough for a request of its own. */
function packParcels(topic: Topic, messages: readonly OutMessage[], call: Call): Parcel[] {
  const parcels: Parcel[] = []
  let last: Parcel | undefined
  for (const message of messages) {
    const bytes = bytesOf(message)
    if (last === undefined || last.messages.length >= MAX_MESSAGES || last.bytes + bytes > MAX_BYTES) {
      last = { topic, messages: [], bytes: 0, call }
      parcels.push(last)
    }
    last.messages.push(message)
    last.bytes += bytes
  }
  return parcels
}

/** Takes as many parcels from the head as fit into one request, at least one. */
function takeLoad(queue: Parcel[]): Parcel[] {
  let count = 0
  let bytes = 0
  let messages = 0
  for (const parcel of queue) {
    bytes += parcel.bytes
    messages += parcel.messages.length
    if (count > 0 && (bytes > MAX_BYTES || messages > MAX_MESSAGES)) break
    count++
  }
  return queue.splice(0, count)
}
