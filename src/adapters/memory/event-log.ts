import { setTimeout as sleep } from 'node:timers/promises'
import type { BatchHandler, EventLog, InMessage, OutMessage, Subscription, Topic } from '../../ports/event-log.js'

export interface MemoryEventLogOptions {
  /** Kept per topic; beyond it the oldest are dropped, but never one that a live consumer group still has to read. */
  maxMessagesPerTopic: number
  /** Per topic; 6 unless told. */
  partitions?: number
}

/** Most messages of one partition handed over at once. */
const MAX_BATCH = 500
const RETRY_FIRST_MS = 50
const RETRY_MOST_MS = 5_000

interface Partition { id: number; firstOffset: number; messages: InMessage[]; busy: Set<string> }
interface Group { name: string; members: Member[]; committed: number[] }
/** `turns`: batches in hand by partition. */
interface Member { handler: BatchHandler; turns: Map<number, { turn: AbortController; work: Promise<void> }>; stopping: AbortController }
interface Log { topic: Topic; partitions: Partition[]; groups: Map<string, Group>; nextRoundRobin: number; roomWanted: (() => void)[] }

/**
 * The event log of a single process: partitions by key hash, consumer groups with committed offsets, at-least-once delivery,
 * a failed batch comes again. Nothing survives the process; durability is the journal's task. A publisher waits while
 * the topic is full of what a live group has not read: back-pressure instead of loss.
 */
export function createMemoryEventLog({ maxMessagesPerTopic, partitions = 6 }: MemoryEventLogOptions): EventLog {
  const logs = new Map<Topic, Log>()
  const subscriptions = new Set<Subscription>()
  let closed = false

  const logOf = (topic: Topic): Log => {
    const known = logs.get(topic)
    if (known !== undefined) return known
    const fresh: Log = { topic, partitions: [], groups: new Map(), nextRoundRobin: 0, roomWanted: [] }
    for (let id = 0; id < partitions; id++) fresh.partitions.push({ id, firstOffset: 0, messages: [], busy: new Set() })
    logs.set(topic, fresh)
    return fresh
  }

  return {
    ensureTopics: () => Promise.resolve(),
    ping: () => closed ? Promise.reject(new Error('The event log is closed')) : Promise.resolve(),
    publish: async (topic, messages) => {
      const log = logOf(topic)
      for (const message of messages) {
        while (!closed && !makeRoom(log, maxMessagesPerTopic)) await new Promise<void>(resolve => log.roomWanted.push(resolve))
        if (closed) throw new Error('The event log is closed')
        append(log, message)
      }
    },
    subscribe: (topic, groupName, handler) => {
      const subscription = join(logOf(topic), groupName, handler)
      const entry: Subscription = { lag: () => subscription.lag(), stop: async () => { subscriptions.delete(entry); await subscription.stop() } }
      subscriptions.add(entry)
      return Promise.resolve(entry)
    },
    close: async () => {
      closed = true
      for (const log of logs.values()) for (const wake of log.roomWanted.splice(0)) wake()
      await Promise.all([...subscriptions].map(subscription => subscription.stop()))
    },
  }
}

function append(log: Log, message: OutMessage): void {
  const partition = log.partitions[message.key === null ? log.nextRoundRobin++ % log.partitions.length : hash(message.key) % log.partitions.length]
  if (partition === undefined) throw new Error(`The topic ${log.topic} has no partitions`)
  partition.messages.push({
    topic: log.topic, partition: partition.id, offset: String(partition.firstOffset + partition.messages.length),
    // Copies: what the caller does to its buffer afterwards must not reach the log.
    key: message.key === null ? null : Buffer.from(message.key), value: Buffer.from(message.value), headers: { ...message.headers },
  })
  for (const group of log.groups.values()) pump(log, group, partition)
}

/** FNV-1a, 32 bit. */
function hash(key: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < key.length; at++) value = Math.imul(value ^ key.charCodeAt(at), 0x01000193)
  return value >>> 0
}

/** Drops read messages from the longest partition when the topic is full. False when a live group still needs them all. */
function makeRoom(log: Log, limit: number): boolean {
  const total = log.partitions.reduce((sum, { messages }) => sum + messages.length, 0)
  if (total < limit) return true
  const droppable = log.partitions.map(partition => ({ partition, count: countRead(log, partition) }))
  const best = droppable.reduce((a, b) => a.count >= b.count ? a : b)
  if (best.count === 0) return false
  // A share at once, so that a full topic does not pay for a shift with every message.
  const drop = Math.min(best.count, Math.max(1, Math.floor(limit / 20)))
  best.partition.messages.splice(0, drop)
  best.partition.firstOffset += drop
  return true
}

/** Leading messages that every group with members has read. */
function countRead(log: Log, partition: Partition): number {
  let upTo = partition.firstOffset + partition.messages.length
  for (const { members, committed } of log.groups.values()) {
    if (members.length > 0) upTo = Math.min(upTo, committed[partition.id] ?? 0)
  }
  return Math.max(0, upTo - partition.firstOffset)
}

function join(log: Log, name: string, handler: BatchHandler): Subscription {
  const group = log.groups.get(name) ?? { name, members: [], committed: log.partitions.map(() => 0) }
  log.groups.set(name, group)
  const member: Member = { handler, turns: new Map(), stopping: new AbortController() }
  group.members.push(member)
  rebalance(log, group)
  return {
    lag: () => Promise.resolve(log.partitions.filter(({ id }) => ownerOf(group, id) === member)
      .reduce((sum, partition) => sum + partition.firstOffset + partition.messages.length - nextOffset(group, partition), 0)),
    stop: async () => {
      member.stopping.abort()
      for (const { turn } of member.turns.values()) turn.abort()
      await Promise.all([...member.turns.values()].map(({ work }) => work))
      group.members = group.members.filter(other => other !== member)
      rebalance(log, group)
    },
  }
}

const ownerOf = (group: Group, partition: number): Member | undefined => group.members[partition % group.members.length]

/** Retention may have overtaken a group that had no members. */
const nextOffset = (group: Group, partition: Partition): number => Math.max(group.committed[partition.id] ?? 0, partition.firstOffset)

/** Tells members that lost a partition, and starts whatever can be read now. */
function rebalance(log: Log, group: Group): void {
  for (const member of group.members) {
    for (const [partition, { turn }] of member.turns) if (ownerOf(group, partition) !== member) turn.abort()
  }
  for (const partition of log.partitions) pump(log, group, partition)
  for (const wake of log.roomWanted.splice(0)) wake()
}

/** Starts work on a partition unless somebody is at it, or there is nothing to do. */
function pump(log: Log, group: Group, partition: Partition): void {
  const member = ownerOf(group, partition.id)
  if (member === undefined || member.stopping.signal.aborted || partition.busy.has(group.name)) return
  if (nextOffset(group, partition) >= partition.firstOffset + partition.messages.length) return
  partition.busy.add(group.name)
  const turn = new AbortController()
  const work = readOn(log, group, partition, member, turn.signal).finally(() => {
    partition.busy.delete(group.name)
    member.turns.delete(partition.id)
    pump(log, group, partition)
  })
  member.turns.set(partition.id, { turn, work })
}

/** Batch after batch until the partition is read or taken from us; a batch that is not done comes again after a pause. */
async function readOn(log: Log, group: Group, partition: Partition, member: Member, signal: AbortSignal): Promise<void> {
  for (let failures = 0; ;) {
    // Handlers never run inside the publisher's call.
    await new Promise(setImmediate)
    if (signal.aborted) return
    const from = nextOffset(group, partition)
    const batch = partition.messages.slice(from - partition.firstOffset, from - partition.firstOffset + MAX_BATCH)
    if (batch.length === 0) return
    // A rejection is a fault that the handler has told of; here it only means that nothing is done.
    const done = await member.handler(batch, signal).catch(() => 0)
    group.committed[partition.id] = from + done
    if (done > 0) for (const wake of log.roomWanted.splice(0)) wake()
    failures = done < batch.length ? failures + 1 : 0
    if (failures > 0) await sleep(Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** failures), undefined, { signal }).catch(() => undefined)
  }
}
