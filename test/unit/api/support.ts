import { createHash } from 'node:crypto'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { pino } from 'pino'
import { ROLES, type ApiKey, type Role } from '../../../src/domain/access.js'
import type { Decision, Review } from '../../../src/domain/decision.js'
import { actionOf, type HoldState } from '../../../src/domain/hold.js'
import type { Policy, StoredPolicy } from '../../../src/domain/policy.js'
import type { Engine, Processed, Raw } from '../../../src/pipeline/engine.js'
import type { AuditEntry } from '../../../src/ports/access-store.js'
import type { Recorded } from '../../../src/domain/record.js'
import { buildApp, REDACTED } from '../../../src/api/app.js'
import { DEFAULT_LIMITS, type ApiDeps, type Limits } from '../../../src/api/deps.js'

export const SECRET_NAME = '甲一', SECRET_ID = '110101198805041015', SECRET_PHONE = '13900000001'

/** Lets what `start` promised go on later: a store that takes its time. */
export function createGate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((done) => { open = done })
  return { opened, open: () => { open() } }
}

const decisionFor = (event_id: string): Decision => ({
  decision_id: `dc-${event_id}`, event_id, order_id: 'o-1', decided_at: '2026-11-20T07:00:00.000+08:00', outcome: 'hold', basis: 'risk', score: 0.93,
  reasons: [{ code: 'SLOT_HANDOFF', message: { zh: '号源转手', en: 'The slot changed hands' } }],
  hold: { hold_id: `h-${event_id}`, expires_at: '2026-11-20T07:30:00.000+08:00', on_expiry: 'confirm' },
  degraded: [], versions: { rules: 'r1', model: null, policy: 'p1' },
})

const REVIEW: Review = {
  would_be: { outcome: 'hold', basis: 'risk', reasons: [] }, enforcement: 'enforce', rule_score: 80,
  rule_hits: [{ rule: 'handoff', family: 'custody', code: 'SLOT_HANDOFF', mode: 'live', weight: 80,
    comparisons: [{ feature: 'handoff_gap_s', value: 2.4, operator: '<', threshold: 10 }] }],
  shadow_hits: [], rule_errors: [], features: { handoff_gap_s: 2.4, emulator: false, channel_kind: 'app' }, saturated: [],
}

/** An engine of few words: decides every request alike, knows repeats, and refuses what has no event_id. */
export class TinyEngine implements Engine {
  readonly seen = new Map<string, Processed>()
  readonly bodies: Raw['body'][] = []
  readonly order: string[] = []
  answer: ((id: string) => Promise<Processed> | undefined) | undefined

  async process(raw: Raw): Promise<Processed> {
    this.bodies.push(raw.body)
    const event = parse(raw.body)
    const id = event?.['event_id']
    if (!event || typeof id !== 'string') return { kind: 'rejected', status: 400, errors: [{ path: event ? '/event_id' : '', message: 'is expected' }] }
    this.order.push(id)
    const special = this.answer?.(id)
    if (special) return special
    const request = event['type'] === 'booking.requested'
    if (raw.requestOnly === true && !request) return { kind: 'rejected', eventId: id, status: 400, errors: [{ path: '/type', message: 'booking.requested is expected' }] }
    const before = this.seen.get(id)
    if (before && before.kind !== 'rejected' && before.kind !== 'overloaded') return { ...before, duplicate: true }
    const decision = decisionFor(id)
    // Odd spacing on purpose: bytes that were parsed and written again would lose it.
    const bytes = JSON.stringify(decision).replace('"outcome":', '"outcome": ')
    const done: Processed = request ? { kind: 'decided', eventId: id, bytes, decision, duplicate: false } : { kind: 'accepted', eventId: id, duplicate: false }
    this.seen.set(id, done)
    return done
  }
}

function parse(body: Raw['body']): Record<string, unknown> | undefined {
  if (typeof body === 'object' && 'json' in body) return body.json as Record<string, unknown>
  try { return JSON.parse(body.toString()) as Record<string, unknown> } catch { return undefined }
}

const POLICY: Policy = {
  enforcement: 'observe', thresholds: { challenge: 40, throttle: 60, hold: 80 }, challengeKind: 'face',
  hold: { forMs: 1_800_000, onExpiry: 'confirm' }, throttle: { waitMs: 15_000, spacingMs: 2_000 }, degradedVelocity: 'allow',
}

const hold = (holdId: string, placedAt: number): HoldState => ({
  holdId, eventId: `e-${holdId}`, orderId: `o-${holdId}`, hospitalId: 'h-007', scheduleId: 's-1', placedAt, expiresAt: placedAt + 1_800_000, onExpiry: 'confirm', status: 'active',
})

export interface World {
  app: FastifyInstance
  engine: TinyEngine
  clock: { now: number }
  keys: ApiKey[]
  audit: AuditEntry[]
  holds: Map<string, HoldState>
  observed: [route: string, status: number][]
  ready: { ready: boolean; checks: Record<string, { ok: boolean; detail?: string }> }
  /** How often the key store was asked. */
  asked: { times: number }
  logged: () => string
  call: (method: 'GET' | 'POST' | 'PUT', url: string, role?: Role | { secret: string }, body?: unknown, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
}

export const secretOf = (role: Role): string => `secret-of-${role}`

/** The API over stores in memory, with one key per role. `change` replaces parts of what it gets. */
export async function createWorld(limits: Partial<Limits> = {}, change: (deps: ApiDeps) => Partial<ApiDeps> = () => ({})): Promise<World> {
  const clock = { now: Date.parse('2026-11-20T07:00:00Z') }
  const keys: ApiKey[] = ROLES.map((role) => ({
    keyId: `k-${role}`, secretHash: createHash('sha256').update(secretOf(role)).digest('hex'), role, createdAt: 0, ...(role === 'hospital' ? { hospitalId: 'h-007' } : {}),
  }))
  const engine = new TinyEngine()
  const holds = new Map(['a', 'b', 'c'].map((id, i) => [id, hold(id, clock.now + i)]))
  const audit: AuditEntry[] = []
  const asked = { times: 0 }
  const observed: World['observed'] = []
  const ready: World['ready'] = { ready: true, checks: { journal: { ok: true } } }
  const lines: string[] = []
  const overrides = new Map<string, StoredPolicy>()

  const deps: ApiDeps = {
    routes: 'all', engine,
    findRecorded: (eventId) => {
      const known = engine.seen.get(eventId)
      const event = { eventId, type: 'booking.requested' as const, occurredAt: 0 }
      const base: Recorded = { seq: 1, acceptedAt: 0, bodyHash: 'x', event }
      return Promise.resolve(known?.kind === 'decided' ? { ...base, decision: known.bytes, review: REVIEW } : known?.kind === 'accepted' ? base : undefined)
    },
    enforcement: {
      get: (id) => Promise.resolve(holds.get(id)),
      list: ({ status, limit, cursor }) => {
        const all = [...holds.values()].filter((h) => status === undefined || h.status === status).sort((a, b) => b.placedAt - a.placedAt)
        const from = cursor === undefined ? 0 : Number(cursor)
        return Promise.resolve({ items: all.slice(from, from + limit), ...(from + limit < all.length ? { nextCursor: String(from + limit) } : {}) })
      },
      resolve: (id, to, by, reason, at) => {
        const found = holds.get(id)
        if (!found) return Promise.resolve({ kind: 'unknown' })
        if (found.status === to && found.resolvedBy === by) return Promise.resolve({ kind: 'resolved', hold: found })
        if (found.status !== 'active') return Promise.resolve({ kind: 'already', hold: found })
        const ended: HoldState = { ...found, status: to, resolvedAt: at, resolvedBy: by, reason, action: actionOf(to, found.onExpiry) }
        holds.set(id, ended)
        return Promise.resolve({ kind: 'resolved', hold: ended })
      },
    },
    policies: {
      of: (hospitalId) => {
        const override = overrides.get(hospitalId)
        const { thresholds, hold: lease, throttle, ...rest } = override?.patch ?? {}
        const policy = { ...POLICY, ...rest, thresholds: { ...POLICY.thresholds, ...thresholds }, hold: { ...POLICY.hold, ...lease }, throttle: { ...POLICY.throttle, ...throttle } }
        return { policy, version: `p${override?.revision ?? 0}`, ...(override ? { override } : {}) }
      },
      put: (hospitalId, patch, by, expectedRevision) => {
        const revision = overrides.get(hospitalId)?.revision ?? 0
        if (patch.thresholds?.hold === 1) return Promise.resolve({ kind: 'invalid', errors: [{ path: '/challengeKind', message: 'makes no sense' }] })
        if (expectedRevision !== undefined && expectedRevision !== revision) return Promise.resolve({ kind: 'stale' })
        overrides.set(hospitalId, { hospitalId, patch, changedBy: by, changedAt: clock.now, revision: revision + 1 })
        return Promise.resolve({ kind: 'saved' })
      },
    },
    access: { authenticate: (secret) => {
      asked.times += 1
      return Promise.resolve(keys.find((key) => key.secretHash === createHash('sha256').update(secret).digest('hex')))
    } },
    audit: { append: (entry) => { audit.push(entry); return Promise.resolve() } },
    readiness: () => Promise.resolve(ready),
    metricsText: () => Promise.resolve({ contentType: 'text/plain; version=0.0.4; charset=utf-8', body: '# nothing yet\n' }),
    observe: (route, status) => { observed.push([route, status]) },
    backfill: (body) => engine.process({ body }),
    rebuild: () => Promise.resolve(engine.order.length),
    log: pino({ level: 'debug', redact: REDACTED }, { write: (line: string) => { lines.push(line) } }),
    now: () => clock.now,
    limits: { ...DEFAULT_LIMITS, eventLoopDelayMs: 0, reviewPerSecond: 10_000, writesPerSecond: 10_000, bulkPerSecond: 10_000, failuresPerMinute: 10_000, ...limits },
    version: '0.1.0',
  }
  const app = await buildApp({ ...deps, ...change(deps) })
  const call: World['call'] = (method, url, role, body, headers) => app.inject({
    method, url,
    headers: {
      ...(role === undefined ? {} : { authorization: `Bearer ${typeof role === 'string' ? secretOf(role) : role.secret}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers,
    },
    ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { app, engine, clock, keys, audit, holds, observed, ready, asked, logged: () => lines.join(''), call }
}

export const request = (event_id: string): Record<string, unknown> =>
  ({ event_id, type: 'booking.requested', patient: { id_number: SECRET_ID, name: SECRET_NAME, phone: SECRET_PHONE } })
