import type { FastifyBaseLogger } from 'fastify'
import type { ApiKey } from '../domain/access.js'
import type { FieldError } from '../domain/event.js'
import type { Policy, PolicyPatch, StoredPolicy } from '../domain/policy.js'
import type { Engine, Processed, Raw } from '../pipeline/engine.js'
import type { AuditLog } from '../ports/access-store.js'
import type { EnforcementStore } from '../ports/enforcement-store.js'
import type { Recorded } from '../domain/record.js'
import type { DoorStore } from './doors.js'

/** How much the doors let in. Rates are per API key and route group, in fixed windows of a second. */
export interface Limits {
  scorePerSecond: number
  /** `/score/batch` and `/events`, calls. */
  bulkPerSecond: number
  reviewPerSecond: number
  writesPerSecond: number
  /** Calls without a known key, per address. */
  failuresPerMinute: number
  /** Score calls between the door and the durable answer, at most. */
  scoreInFlight: number
  /** How long one should take from door to answer, in the mean: past that, fewer are let in. 0: `scoreInFlight` of them, however long they take. */
  scoreTargetMs: number
  /** Bulk bodies being read or worked on, in bytes: bounds memory, and lets many small calls in at once. */
  bulkInFlightBytes: number
  /** Mean delay of the event loop over a second from which calls are shed; 0 switches it off. */
  eventLoopDelayMs: number
  scoreBodyBytes: number
  bulkBodyBytes: number
  /** How long a known key is not asked for again: a revoked one stops within this time (CONTRACT: 5 s at most). */
  keyCacheMs: number
}

export const DEFAULT_LIMITS: Limits = {
  scorePerSecond: 20_000,
  // A platform may send every event in a call of its own; what bounds the work is the bytes in flight.
  bulkPerSecond: 2_000,
  reviewPerSecond: 500,
  writesPerSecond: 100,
  // Each one costs a look into PostgreSQL; a key has too many bits to be guessed at any rate.
  failuresPerMinute: 600,
  scoreInFlight: 1_000,
  // A caller waits for 300 ms: with a mean of 70 nearly all answers are in time, the slowest too.
  scoreTargetMs: 70,
  bulkInFlightBytes: 64 * 1024 * 1024,
  // A caller gives up after 300 ms (CONTRACT section 2): at a mean of 500 ms nearly every answer comes too late to be of use.
  eventLoopDelayMs: 500,
  scoreBodyBytes: 256 * 1024,
  bulkBodyBytes: 8 * 1024 * 1024,
  keyCacheMs: 3_000,
}

export type PolicyPut =
  | { kind: 'saved' }
  /** `expectedRevision` is not the present one. */
  | { kind: 'stale' }
  /** The resolved policy would make no sense; paths point into the patch, e.g. `/hold/forMs`. */
  | { kind: 'invalid'; errors: FieldError[] }

/** Resolved policies. `put` replaces the hospital's override, writes the audit entry, and is seen by `of` once it settles. */
export interface Policies {
  of: (hospitalId: string) => { policy: Policy; version: string; override?: StoredPolicy }
  put: (hospitalId: string, patch: PolicyPatch, by: string, expectedRevision?: number) => Promise<PolicyPut>
}

/** `detail` is shown to anybody: words, never an address, a user or a secret. */
export interface Readiness { ready: boolean; checks: Record<string, { ok: boolean; detail?: string }> }

/** All that the HTTP API needs from the rest of the house; main wires it. */
export interface ApiDeps {
  /** `health` for a process without the role api: only what operators and monitors ask. */
  routes: 'all' | 'health'
  engine: Engine
  findRecorded: (eventId: string) => Promise<Recorded | undefined>
  enforcement: Pick<EnforcementStore, 'get' | 'list' | 'resolve'>
  policies: Policies
  /** The stored key a secret belongs to; undefined when unknown. May return revoked keys. */
  access: { authenticate: (secret: string) => Promise<ApiKey | undefined> }
  audit: AuditLog
  /** Brings in a past event: counted and recorded, nothing enforced or published. */
  backfill: (body: Raw['body']) => Promise<Processed>
  /** Counts all recorded events again; resolves with their number. */
  rebuild: () => Promise<number>
  readiness: () => Promise<Readiness>
  metricsText: () => Promise<{ contentType: string; body: string }>
  /** Called once per answer with the route's pattern (`unknown` without one), for the metrics. */
  observe: (route: string, status: number, seconds: number) => void
  log: FastifyBaseLogger
  /** Wall clock, epoch milliseconds. */
  now: () => number
  /** Where rates are counted for all processes together; absent: in this one. */
  doorStore?: DoorStore
  limits: Limits
  version: string
  /** Addresses of proxies whose X-Forwarded-For counts; without it the socket's address is the caller's. */
  trustProxy?: string[]
}
