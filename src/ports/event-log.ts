/** Topics of CONTRACT sections 1 and 2. */
export const TOPICS = { events: 'booking-events', decisions: 'booking-decisions', holds: 'booking-holds', deadLetters: 'booking-events-dlq' } as const
export type Topic = (typeof TOPICS)[keyof typeof TOPICS]

export interface OutMessage { key: string | null; value: string | Buffer; headers?: Record<string, string> }

export interface InMessage {
  topic: string
  partition: number
  offset: string
  key: Buffer | null
  value: Buffer | null
  headers: Record<string, string>
}

/**
 * Handles one batch of one partition, in order. Resolves with the number of leading messages whose effects are durable
 * (all of them, normally); the offset moves over exactly those. Rejects on a fault: nothing moves, the batch comes again.
 * `signal` aborts when the partition is revoked or the consumer stops: finish what is in hand, take nothing new.
 */
export type BatchHandler = (messages: readonly InMessage[], signal: AbortSignal) => Promise<number>

export interface Subscription {
  /** Messages still to be read over all assigned partitions, for the lag metric; undefined when unknown. */
  lag(): Promise<number | undefined>
  /** Finishes the batch in hand, commits, leaves the group. */
  stop(): Promise<void>
}

/** The stream in and out: Kafka, or an in-process log with the same behaviour when embedded. */
export interface EventLog {
  /** Creates missing topics where the broker lets us (dead letters with 7 days of retention). */
  ensureTopics(): Promise<void>
  /** Resolves when every message is acknowledged by all replicas, in order per key. */
  publish(topic: Topic, messages: readonly OutMessage[]): Promise<void>
  /** Reads `topic` as one member of consumer group `group`, from the committed offset, at first from the beginning. */
  subscribe(topic: Topic, group: string, handler: BatchHandler): Promise<Subscription>
  ping(): Promise<void>
  close(): Promise<void>
}
