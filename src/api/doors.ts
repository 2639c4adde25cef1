import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes, type RateLimiterAbstract } from 'rate-limiter-flexible'
import type { Limits } from './deps.js'
import { createSeats, type Seats } from './seats.js'

/** Routes that share a rate: asking for a decision, sending many, looking, changing. */
export const GROUPS = ['score', 'bulk', 'review', 'write'] as const
export type Group = (typeof GROUPS)[number]

/** A call that must wait: `limit` calls are let in per `windowS` seconds. */
export interface Wait { retryAfterMs: number; limit: number; windowS: number }

/** Room for bodies, in bytes. One that is larger than all of it gets in when it is alone. */
export interface Room {
  /** False when there is not enough left; who got true must `leave` exactly once, with the same bytes. */
  enter: (bytes: number) => boolean
  leave: (bytes: number) => void
}

export interface Doors {
  /** Counts a call of a key; a Wait when it is one too many. */
  take: (group: Group, keyId: string) => Promise<Wait | undefined>
  /** Counts a call without a known key; taken back with `forgive` when the key turns out good. */
  suspect: (ip: string) => Promise<Wait | undefined>
  forgive: (ip: string) => Promise<void>
  score: Seats
  bulk: Room
}

/** Counts calls for all processes together: an ioredis client, whose key prefix is its own. */
export interface DoorStore { client: object; prefix: string }

/** Calls of one key that a process takes from the shared count at once, and then lets in without asking again. */
const BLOCK = 50

/** With a `store` the rates hold for all processes together; while it does not answer, for each by itself. */
export function createDoors(limits: Limits, now: () => number, store?: DoorStore): Doors {
  const perSecond: Record<Group, number> = {
    score: limits.scorePerSecond, bulk: limits.bulkPerSecond, review: limits.reviewPerSecond, write: limits.writesPerSecond,
  }
  const limiter = (name: string, points: number, duration: number): RateLimiterAbstract => {
    const alone = new RateLimiterMemory({ keyPrefix: name, points, duration })
    return store ? new RateLimiterRedis({ storeClient: store.client, keyPrefix: `${store.prefix}${name}`, points, duration, insuranceLimiter: alone }) : alone
  }
  const groups = Object.fromEntries(GROUPS.map((group) => [group, limiter(group, perSecond[group], 1)])) as Record<Group, RateLimiterAbstract>
  const failures = limiter('failures', limits.failuresPerMinute, 60)
  // A small rate in blocks would be one process's alone.
  const blocks = store && limits.scorePerSecond > BLOCK ? createBlocks(groups.score, now) : undefined
  return {
    take: (group, keyId) => group === 'score' && blocks ? blocks(keyId) : consume(groups[group], keyId),
    suspect: (ip) => consume(failures, ip),
    forgive: async (ip) => { await failures.reward(ip) },
    score: createSeats({ most: limits.scoreInFlight, targetMs: limits.scoreTargetMs, now }),
    bulk: createRoom(limits.bulkInFlightBytes),
  }
}

const letIn = (): undefined => undefined

function consume(limiter: RateLimiterAbstract, key: string): Promise<Wait | undefined> {
  return limiter.consume(key).then(letIn, (refusal: unknown) => {
    if (refusal instanceof RateLimiterRes) return { retryAfterMs: refusal.msBeforeNext, limit: limiter.points, windowS: limiter.duration }
    throw refusal
  })
}

/** The busiest door asks the shared count once for many calls: a trip for each would cost more than deciding them. */
function createBlocks(limiter: RateLimiterAbstract, now: () => number): (key: string) => Promise<Wait | undefined> {
  const blocks = new Map<string, Block>()
  const asking = new Map<string, Promise<void>>()
  /** Calls that find no block wait for the same one: each with one of its own would use the second up. */
  const ask = (key: string): Promise<void> => {
    let asked = asking.get(key)
    if (!asked) asking.set(key, (asked = takeBlock(limiter, key, now).then((block) => { blocks.set(key, block) }).finally(() => { asking.delete(key) })))
    return asked
  }
  return async (key) => {
    for (;;) {
      const block = blocks.get(key)
      const leftMs = (block?.until ?? 0) - now()
      if (block && leftMs > 0) {
        if (block.left-- > 0) return undefined
        if (block.isLast) return { retryAfterMs: leftMs, limit: limiter.points, windowS: limiter.duration }
      }
      await ask(key)
    }
  }
}

/** `until`: the end of its second, epoch ms. After the last one nobody is let in until then. */
interface Block { left: number; until: number; isLast: boolean }

async function takeBlock(limiter: RateLimiterAbstract, key: string, now: () => number): Promise<Block> {
  try {
    const { msBeforeNext } = await limiter.consume(key, BLOCK)
    return { left: BLOCK, until: now() + msBeforeNext, isLast: false }
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal
    const rest = limiter.points - (refusal.consumedPoints - BLOCK)
    return { left: Math.max(0, rest), until: now() + refusal.msBeforeNext, isLast: true }
  }
}

export function createRoom(limit: number): Room {
  let inside = 0
  return {
    enter: (bytes) => {
      if (inside > 0 && inside + bytes > limit) return false
      inside += bytes
      return true
    },
    leave: (bytes) => { inside -= bytes },
  }
}
