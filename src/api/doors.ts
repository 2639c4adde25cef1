import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import type { Limits } from './deps.js'

/** Routes that share a rate: asking for a decision, sending many, looking, changing. */
export const GROUPS = ['score', 'bulk', 'review', 'write'] as const
export type Group = (typeof GROUPS)[number]

/** A call that must wait: `limit` calls are let in per `windowS` seconds. */
export interface Wait { retryAfterMs: number; limit: number; windowS: number }

/** A number of seats: who finds none is turned away at once, nobody queues. */
export interface Seats {
  readonly full: boolean
  /** False when there is none left; who got true must `leave` exactly once. */
  enter: () => boolean
  leave: () => void
}

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

export function createDoors(limits: Limits): Doors {
  const perSecond: Record<Group, number> = {
    score: limits.scorePerSecond, bulk: limits.bulkPerSecond, review: limits.reviewPerSecond, write: limits.writesPerSecond,
  }
  const limiter = (points: number, duration: number): RateLimiterMemory => new RateLimiterMemory({ keyPrefix: '', points, duration })
  const groups: Record<Group, RateLimiterMemory> = {
    score: limiter(perSecond.score, 1), bulk: limiter(perSecond.bulk, 1), review: limiter(perSecond.review, 1), write: limiter(perSecond.write, 1),
  }
  const failures = limiter(limits.failuresPerMinute, 60)
  return {
    take: (group, keyId) => consume(groups[group], keyId),
    suspect: (ip) => consume(failures, ip),
    forgive: async (ip) => { await failures.reward(ip) },
    score: createSeats(limits.scoreInFlight),
    bulk: createRoom(limits.bulkInFlightBytes),
  }
}

const letIn = (): undefined => undefined

function consume(limiter: RateLimiterMemory, key: string): Promise<Wait | undefined> {
  return limiter.consume(key).then(letIn, (refusal: unknown) => {
    if (refusal instanceof RateLimiterRes) return { retryAfterMs: refusal.msBeforeNext, limit: limiter.points, windowS: limiter.duration }
    throw refusal
  })
}

export function createSeats(seats: number): Seats {
  let taken = 0
  return {
    get full() { return taken >= seats },
    enter: () => {
      if (taken >= seats) return false
      taken += 1
      return true
    },
    leave: () => { taken -= 1 },
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
