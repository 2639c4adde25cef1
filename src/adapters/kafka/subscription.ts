import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs'
import type { BatchHandler, InMessage, Subscription, Topic } from '../../ports/event-log.js'
import { asError, backOffMs, newClient, type AdminAccess, type Connection } from './client.js'

export interface SubscriptionSettings {
  connection: Connection
  admin: AdminAccess
  /** Called with the reason whenever the consumer broke down; it comes back by itself. */
  onCrash: (error: Error) => void
  /** A member that is silent for so long is out of the group. The broker allows 6 s and more unless told otherwise. */
  sessionTimeoutMs: number
  /** Most bytes that a fetch from all brokers may bring. */
  maxInFlightBytes: number
}

export interface KafkaSubscription extends Subscription {
  /** Why nothing is being read just now; undefined while all is well. */
  fault(): Error | undefined
}

const HEARTBEAT_MS = 1_000
/** Longest an idle fetch waits at the broker. Heartbeats, and so rebalances, wait behind it on the same connection. */
const MAX_WAIT_MS = 250
const MAX_BYTES_PER_PARTITION = 1024 * 1024
const PARTITIONS_AT_ONCE = 8
/** After so long without an answer to a fetch or, during a long batch, to a heartbeat we say that nothing is being read. */
const QUIET_MS = 10_000
/** After so long kafkajs is taken for stuck. Longer than any rebalance (60 s), in which nothing is fetched either. */
const STUCK_MS = 90_000

/**
 * One member of a consumer group. Offsets move only over what the handler calls done. kafkajs stops for good on errors that it
 * holds to be final, so every crash here ends in a new consumer after a back-off, for ever, until `stop`.
 * Rejects when the first connection or the topic cannot be had.
 */
export async function openSubscription(
  settings: SubscriptionSettings, topic: Topic, group: string, handler: BatchHandler,
): Promise<KafkaSubscription> {
  const { connection: { log }, admin } = settings
  const stopping = new AbortController()
  /** One per batch in hand. */
  const turns = new Set<AbortController>()
  /** Batches in a row that did not get through, per partition. */
  const failures = new Map<number, number>()
  let current: Consumer | undefined
  let assigned: readonly number[] = []
  let fault: Error | undefined
  let crashes = 0
  let aliveAt = Date.now()

  const eachBatch = async (payload: EachBatchPayload): Promise<void> => {
    if (stopping.signal.aborted) return
    const { partition } = payload.batch
    const messages = payload.batch.messages.map(message => toInMessage(topic, partition, message))
    const turn = new AbortController()
    turns.add(turn)
    const done = await heartbeating(payload, turn, () => handler(messages, turn.signal)).catch((error: unknown) => {
      log.error({ topic, group, partition, error: asError(error).message }, 'A batch failed and will come again')
      return 0
    })
    turns.delete(turn)
    await moveOffset(payload, messages[done - 1])
    if (done >= messages.length) failures.delete(partition)
    else if (!turn.signal.aborted) pauseAwhile(payload)
  }

  /** Other partitions go on while this one waits; then it is fetched again from its first message that is not done. */
  const pauseAwhile = (payload: EachBatchPayload) => {
    const count = failures.get(payload.batch.partition) ?? 0
    failures.set(payload.batch.partition, count + 1)
    setTimeout(payload.pause(), backOffMs(count)).unref()
  }

  const open = async (): Promise<void> => {
    const consumer = await newConsumer(settings, group)
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { assigned = payload.memberAssignment[topic] ?? [] })
    // Joining alone proves little: a message that kafkajs cannot read breaks each new consumer at its first fetch.
    const alive = () => { fault = undefined; crashes = 0; aliveAt = Date.now() }
    consumer.on(consumer.events.FETCH, alive)
    consumer.on(consumer.events.HEARTBEAT, alive)
    consumer.on(consumer.events.CRASH, ({ payload }) => { crashed(consumer, payload.error) })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      current = consumer
      await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, partitionsConsumedConcurrently: PARTITIONS_AT_ONCE, eachBatch })
    } catch (error) {
      await consumer.disconnect().catch(() => undefined)
      throw error
    }
  }

  const crashed = (consumer: Consumer, error: Error) => {
    if (consumer !== current || stopping.signal.aborted) return
    current = undefined
    for (const turn of turns) turn.abort()
    report(error)
    reopening = reopen()
  }

  const report = (error: Error) => {
    fault = error
    log.error({ topic, group, error: error.message }, 'Nothing is being read from Kafka; this is tried again without end')
    settings.onCrash(error)
  }

  const reopen = async (): Promise<void> => {
    for (;;) {
      // The wait ends early, by an abort, when we stop.
      await sleep(backOffMs(crashes++), undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        await open()
        return
      } catch (error) {
        report(asError(error))
      }
    }
  }

  const watch = () => {
    const quietMs = Date.now() - aliveAt
    if (quietMs > QUIET_MS && fault === undefined) report(new Error(`no answer from the brokers for ${quietMs} ms`))
    if (quietMs > STUCK_MS && current !== undefined && turns.size === 0) {
      // It may hang there for ever: nobody waits for it.
      void current.disconnect().catch(() => undefined)
      crashed(current, new Error(`kafkajs has fetched nothing for ${quietMs} ms`))
    }
  }

  let reopening: Promise<void> = Promise.resolve()
  await open()
  const watching = setInterval(watch, 1_000)
  return {
    fault: () => fault,
    lag: async () => fault !== undefined ? undefined : lagOf(admin, topic, group, assigned).catch((error: unknown) => {
      log.warn({ topic, group, error: asError(error).message }, 'The lag of the Kafka consumer cannot be told')
      return undefined
    }),
    stop: async () => {
      stopping.abort()
      clearInterval(watching)
      for (const turn of turns) turn.abort()
      await reopening
      await current?.disconnect()
    },
  }
}

/** Messages behind the committed offsets of these partitions; a group that has committed nothing starts at the oldest. */
async function lagOf(admin: AdminAccess, topic: Topic, groupId: string, assigned: readonly number[]): Promise<number> {
  const { committed, ends } = await admin.use(async kafka => {
    const [offsets] = await kafka.fetchOffsets({ groupId, topics: [topic] })
    return { committed: offsets?.partitions ?? [], ends: await kafka.fetchTopicOffsets(topic) }
  })
  return ends.filter(({ partition }) => assigned.includes(partition)).reduce((sum, { partition, high, low }) => {
    const at = Number(committed.find(other => other.partition === partition)?.offset ?? -1)
    return sum + Number(high) - Math.max(at, Number(low))
  }, 0)
}

async function newConsumer(settings: SubscriptionSettings, groupId: string): Promise<Consumer> {
  const { connection, admin, sessionTimeoutMs: sessionTimeout } = settings
  const nodes = await admin.use(async kafka => (await kafka.describeCluster()).brokers.length)
  // kafkajs holds one fetch per broker at a time and asks for more only when all of it is done.
  const maxBytes = Math.max(1, Math.floor(settings.maxInFlightBytes / Math.max(1, nodes)))
  return newClient(connection).consumer({
    groupId, sessionTimeout, heartbeatInterval: HEARTBEAT_MS, maxWaitTimeInMs: MAX_WAIT_MS, maxBytes,
    maxBytesPerPartition: Math.min(MAX_BYTES_PER_PARTITION, maxBytes), allowAutoTopicCreation: false,
    // Restarts are ours alone: see `crashed`.
    retry: { restartOnFailure: () => Promise.resolve(false) },
  })
}

/** Keeps our place in the group during a long batch; aborts `turn` when that place is lost. */
async function heartbeating(payload: EachBatchPayload, turn: AbortController, work: () => Promise<number>): Promise<number> {
  const beat = setInterval(() => {
    if (!payload.isRunning() || payload.isStale()) turn.abort()
    payload.heartbeat().catch(() => { turn.abort() })
  }, HEARTBEAT_MS)
  try {
    return await work()
  } finally {
    clearInterval(beat)
  }
}

/** Commits up to and including `last`. An error (we lost the partition, say) is for kafkajs, which joins again. */
async function moveOffset(payload: EachBatchPayload, last: InMessage | undefined): Promise<void> {
  if (last === undefined) return
  payload.resolveOffset(last.offset)
  await payload.commitOffsetsIfNecessary(payload.uncommittedOffsets())
}

function toInMessage(topic: Topic, partition: number, { offset, key, value, headers = {} }: KafkaMessage): InMessage {
  const texts = Object.entries(headers).map(([name, content]) => [name, Array.isArray(content) ? content.join() : String(content ?? '')] as const)
  return { topic, partition, offset, key, value, headers: Object.fromEntries(texts) }
}
