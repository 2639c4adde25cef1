import type { EventLog } from '../../ports/event-log.js'
import { adminAccess, type Log } from './client.js'
import { createPublisher } from './publisher.js'
import { openSubscription, type KafkaSubscription } from './subscription.js'
import { createMissingTopics } from './topics.js'

export type { Log } from './client.js'

export interface KafkaEventLogOptions {
  /** `host:port`, at least one. */
  brokers: readonly string[]
  clientId: string
  log: Log
  /** A consumer broke down (it is started again by itself). While one is down `ping` rejects. */
  onCrash?: (error: Error) => void
  /** Of topics that we create; 6 unless told. */
  partitions?: number
  /** 10 s unless told. After a crash of broker or process its partitions wait so long for the next member. */
  sessionTimeoutMs?: number
  /** Per subscription; 32 MiB unless told. */
  maxInFlightBytes?: number
}

/** The event log on a Kafka cluster (decision 0005). Connects when first used; nothing is sent before. */
export function createKafkaEventLog(options: KafkaEventLogOptions): EventLog {
  const { brokers, clientId, log, onCrash = () => undefined } = options
  const { partitions = 6, sessionTimeoutMs = 10_000, maxInFlightBytes = 32 * 1024 * 1024 } = options
  const connection = { brokers, clientId, log }
  const admin = adminAccess(connection)
  const publisher = createPublisher(connection)
  const subscriptions = new Set<KafkaSubscription>()

  return {
    ensureTopics: () => admin.use(kafka => createMissingTopics(kafka, partitions, log)),
    publish: (topic, messages) => publisher.publish(topic, messages),
    subscribe: async (topic, group, handler) => {
      const subscription = await openSubscription({ connection, admin, onCrash, sessionTimeoutMs, maxInFlightBytes }, topic, group, handler)
      subscriptions.add(subscription)
      return {
        lag: () => subscription.lag(),
        stop: async () => { subscriptions.delete(subscription); await subscription.stop() },
      }
    },
    ping: async () => {
      await admin.use(kafka => kafka.describeCluster())
      for (const subscription of subscriptions) {
        const fault = subscription.fault()
        if (fault !== undefined) throw new Error(`A Kafka consumer is down: ${fault.message}`, { cause: fault })
      }
    },
    close: async () => {
      await Promise.all([...subscriptions].map(subscription => subscription.stop()))
      subscriptions.clear()
      await publisher.close()
      await admin.close()
    },
  }
}
