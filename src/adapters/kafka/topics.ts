import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { TOPICS, type Topic } from '../../ports/event-log.js'
import { protocolErrorOf, type Log } from './client.js'

const DAY_MS = 86_400_000
const REPLICAS = 3

/**
 * Dead letters are kept 7 days (CONTRACT section 2). They are the raw message plus headers, so the largest message that the
 * events topic takes (1 MiB unless the broker says otherwise) must fit with room to spare, or its partition would stand still.
 */
const SETTINGS: Partial<Record<Topic, Record<string, string>>> = {
  [TOPICS.deadLetters]: { 'retention.ms': String(7 * DAY_MS), 'max.message.bytes': String(2 * 1024 * 1024) },
}

/**
 * Creates the topics that are missing, with at most 3 replicas. What exists is left as it is.
 * Throws when a topic is missing and the broker does not let us create it.
 */
export async function createMissingTopics(admin: Admin, partitions: number, log: Log): Promise<void> {
  const existing = new Set(await admin.listTopics())
  const missing = Object.values(TOPICS).filter(topic => !existing.has(topic))
  if (missing.length === 0) return
  const { brokers } = await admin.describeCluster()
  for (const topic of missing) await createTopic(admin, topic, partitions, Math.min(REPLICAS, brokers.length), log)
}

async function createTopic(admin: Admin, topic: Topic, numPartitions: number, replicationFactor: number, log: Log): Promise<void> {
  const configEntries = Object.entries(SETTINGS[topic] ?? {}).map(([name, value]) => ({ name, value }))
  try {
    // Its own wait for leaders takes a topic that the broker has not spread the word of yet for a missing one: see `untilUsable`.
    const created = await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor, configEntries }], waitForLeaders: false })
    if (created) log.info({ topic, numPartitions, replicationFactor }, 'Kafka topic created')
  } catch (error) {
    const reason = reasonOf(error)
    // A topic that we may use but not list looks missing.
    if (!(await isUsable(admin, topic))) {
      throw new Error(`Kafka topic ${topic} is missing and the broker does not let us create it (${reason}): please create it`, { cause: error })
    }
    log.warn({ topic, reason }, 'The Kafka broker does not let us create this topic, but it exists: going on')
  }
  await untilUsable(admin, topic)
}

const USABLE_WITHIN_MS = 15_000

/** Waits until every partition has a leader. */
async function untilUsable(admin: Admin, topic: Topic): Promise<void> {
  for (const deadline = Date.now() + USABLE_WITHIN_MS; !(await isUsable(admin, topic));) {
    if (Date.now() > deadline) throw new Error(`Kafka topic ${topic} was created but has no leaders after ${USABLE_WITHIN_MS} ms`)
    await sleep(100)
  }
}

/** False as well when the broker cannot tell: the caller asks again or says why it gave up. */
const isUsable = (admin: Admin, topic: Topic): Promise<boolean> =>
  admin.fetchTopicMetadata({ topics: [topic] }).then(({ topics }) => topics[0]?.partitions.every(({ leader }) => leader >= 0) ?? false, () => false)

/** createTopics fails with a list of errors, one per topic. */
function reasonOf(error: unknown): string {
  const first: unknown = error instanceof Error && 'errors' in error && Array.isArray(error.errors) ? error.errors[0] : error
  return protocolErrorOf(first) ?? (first instanceof Error ? first.message : String(first))
}
