import type { Pool, PoolClient } from 'pg'
import { actionOf, type Hold, type HoldResolved, type HoldState, type HoldStatus } from '../../domain/hold.js'
import { OUTBOX_SINKS, type Cancellation, type EnforcementStore, type OutboxSink, type ResolveResult } from '../../ports/enforcement-store.js'
import { inTransaction } from './pool.js'

/** A row of `holds`; pg gives bigint as text. */
interface HoldRow {
  hold_id: string; event_id: string; order_id: string; hospital_id: string; schedule_id: string
  placed_at: string; expires_at: string; on_expiry: HoldState['onExpiry']
  status: HoldStatus; resolved_at: string | null; resolved_by: string | null; reason: string | null
}

interface OutboxRow { outbox_id: string; hold_id: string; order_id: string; body: string }

/** Holds end by the clock or with their order without a person. */
const BY_CLOCK = 'system'
const BY_PLATFORM = 'platform'

const INSERT = `
  INSERT INTO holds (hold_id, event_id, order_id, hospital_id, schedule_id, placed_at, expires_at, on_expiry)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
  ON CONFLICT (hold_id) DO NOTHING`

// The first cancellation that names a hold ends it. One from before the hold was placed does not: cancellations are applied
// again on recovery, and the order may have been asked for again since. Rows are locked in one order everywhere, so two processes do not deadlock.
// OFFSET 0 keeps each look-up apart, by index: joined, PostgreSQL would read every active hold while it has no statistics.
const CANCEL = `
  WITH c AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    WITH ORDINALITY AS c(order_id, hospital_id, schedule_id, reason, at, n)),
  named AS (
    SELECT h.hold_id, c.reason, c.at, c.n FROM c CROSS JOIN LATERAL (
      SELECT hold_id FROM holds WHERE order_id = c.order_id AND status = 'active' AND placed_at <= c.at OFFSET 0) h
    UNION ALL
    SELECT h.hold_id, c.reason, c.at, c.n FROM c CROSS JOIN LATERAL (
      SELECT hold_id FROM holds WHERE hospital_id = c.hospital_id AND schedule_id = c.schedule_id AND status = 'active' AND placed_at <= c.at OFFSET 0) h),
  first AS (SELECT DISTINCT ON (hold_id) hold_id, reason, at, n FROM named ORDER BY hold_id, n),
  locked AS (SELECT hold_id FROM holds WHERE hold_id IN (SELECT hold_id FROM first) AND status = 'active' ORDER BY hold_id FOR UPDATE)
  UPDATE holds h SET status = 'cancelled', resolved_at = first.at, resolved_by = '${BY_PLATFORM}', reason = first.reason
  FROM first JOIN locked USING (hold_id) WHERE h.hold_id = first.hold_id AND h.status = 'active' RETURNING h.*`

const REMEMBER_ENDS = `
  INSERT INTO hold_ends (name, at, order_id, hospital_id, schedule_id, reason)
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING`

const ENDS = `
  SELECT DISTINCT e.order_id, e.hospital_id, e.schedule_id, e.reason, e.at
  FROM hold_ends e JOIN unnest($1::text[], $2::bigint[]) AS h(name, placed_at) ON e.name = h.name AND e.at > h.placed_at ORDER BY e.at`

const EXPIRE = `
  WITH due AS (SELECT hold_id FROM holds WHERE status = 'active' AND expires_at <= $1 ORDER BY expires_at, hold_id LIMIT $2 FOR UPDATE SKIP LOCKED)
  UPDATE holds h SET status = 'expired', resolved_at = $1, resolved_by = '${BY_CLOCK}', reason = 'expired'
  FROM due WHERE h.hold_id = due.hold_id AND h.status = 'active' RETURNING h.*`

const EXPIRE_ONE = `
  UPDATE holds SET status = 'expired', resolved_at = $2, resolved_by = '${BY_CLOCK}', reason = 'expired'
  WHERE hold_id = $1 AND status = 'active' AND expires_at <= $2 RETURNING *`

const RESOLVE = `
  UPDATE holds SET status = $3, resolved_at = $2, resolved_by = $4, reason = $5
  WHERE hold_id = $1 AND status = 'active' AND expires_at > $2 RETURNING *`

const LIST = `
  SELECT * FROM holds
  WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR hospital_id = $2) AND ($3::bigint IS NULL OR (placed_at, hold_id) < ($3, $4::text))
  ORDER BY placed_at DESC, hold_id DESC LIMIT $5`

const OUTBOX = `
  WITH message AS (
    INSERT INTO hold_outbox (hold_id, order_id, body) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) RETURNING outbox_id)
  INSERT INTO hold_outbox_pending (sink, outbox_id) SELECT sink, outbox_id FROM message, unnest($4::text[]) AS sink`

const PENDING = `
  SELECT m.outbox_id, m.hold_id, m.order_id, m.body FROM hold_outbox_pending p JOIN hold_outbox m USING (outbox_id)
  WHERE p.sink = $1 ORDER BY p.outbox_id LIMIT $2`

// A resolved hold that some sink still waits for stays.
const PURGE = `
  DELETE FROM holds WHERE hold_id IN (
    SELECT h.hold_id FROM holds h WHERE h.status <> 'active' AND h.resolved_at < $1
    AND NOT EXISTS (SELECT FROM hold_outbox m JOIN hold_outbox_pending p USING (outbox_id) WHERE m.hold_id = h.hold_id)
    ORDER BY h.resolved_at LIMIT $2)`

function toState(row: HoldRow): HoldState {
  const hold: Hold = {
    holdId: row.hold_id, eventId: row.event_id, orderId: row.order_id, hospitalId: row.hospital_id, scheduleId: row.schedule_id,
    placedAt: Number(row.placed_at), expiresAt: Number(row.expires_at), onExpiry: row.on_expiry,
  }
  if (row.status === 'active') return { ...hold, status: 'active' }
  return {
    ...hold, status: row.status, resolvedAt: Number(row.resolved_at), resolvedBy: row.resolved_by ?? '', reason: row.reason ?? '',
    action: actionOf(row.status, row.on_expiry),
  }
}

/** The one place where the message is built; from here on only its bytes travel. The key order is part of them. */
function messageOf(row: HoldRow): string {
  if (row.status === 'active') throw new Error(`hold ${row.hold_id} has not ended`)
  const message: HoldResolved = {
    hold_id: row.hold_id, event_id: row.event_id, order_id: row.order_id, resolution: row.status, action: actionOf(row.status, row.on_expiry),
    by: row.resolved_by ?? '', reason: row.reason ?? '', at: new Date(Number(row.resolved_at)).toISOString(),
  }
  return JSON.stringify(message)
}

const toCursor = (row: HoldRow): string => Buffer.from(`${row.placed_at} ${row.hold_id}`).toString('base64url')

function fromCursor(cursor: string): [placedAt: string, holdId: string] {
  const match = /^(\d{1,15}) ([^\0]+)$/.exec(Buffer.from(cursor, 'base64url').toString())
  if (match === null) throw Object.assign(new Error('cursor: not one that a page returned'), { code: 'BAD_CURSOR' })
  return [match[1] ?? '', match[2] ?? '']
}

const byHoldId = (a: Hold, b: Hold): number => (a.holdId < b.holdId ? -1 : a.holdId > b.holdId ? 1 : 0)

async function insert(client: Pool | PoolClient, holds: readonly Hold[]): Promise<void> {
  const sorted = [...holds].sort(byHoldId)
  const columns = ['holdId', 'eventId', 'orderId', 'hospitalId', 'scheduleId', 'placedAt', 'expiresAt', 'onExpiry'] as const
  await client.query({ name: 'holds-insert', text: INSERT, values: columns.map((column) => sorted.map((hold) => hold[column])) })
}

async function cancel(client: PoolClient, cancellations: readonly Cancellation[]): Promise<HoldRow[]> {
  const values = [
    cancellations.map((c) => ('orderId' in c ? c.orderId : null)),
    cancellations.map((c) => ('orderId' in c ? null : c.hospitalId)),
    cancellations.map((c) => ('orderId' in c ? null : c.scheduleId)),
    cancellations.map((c) => c.reason), cancellations.map((c) => c.at),
  ]
  const { rows } = await client.query<HoldRow>({ name: 'holds-cancel', text: CANCEL, values })
  return rows
}

const nameOf = (c: Cancellation | Hold): string[] => [
  ...('orderId' in c ? [JSON.stringify([c.orderId])] : []), ...('scheduleId' in c ? [JSON.stringify([c.hospitalId, c.scheduleId])] : []),
]

async function rememberEnds(client: PoolClient, cancellations: readonly Cancellation[]): Promise<void> {
  const column = (pick: (c: Cancellation) => string | number | null): (string | number | null)[] => cancellations.map(pick)
  await client.query({ name: 'hold-ends-insert', text: REMEMBER_ENDS, values: [
    cancellations.flatMap(nameOf), column((c) => c.at), column((c) => ('orderId' in c ? c.orderId : null)),
    column((c) => ('orderId' in c ? null : c.hospitalId)), column((c) => ('orderId' in c ? null : c.scheduleId)), column((c) => c.reason),
  ] })
}

/** What ended before one of these holds was recorded, and after it was placed. (At the same millisecond the order was asked for again.) */
async function endsOf(client: PoolClient, holds: readonly Hold[]): Promise<Cancellation[]> {
  interface EndRow { order_id: string | null; hospital_id: string | null; schedule_id: string | null; reason: string; at: string }
  const { rows } = await client.query<EndRow>({ name: 'hold-ends', text: ENDS, values: [holds.flatMap(nameOf), holds.flatMap((hold) => nameOf(hold).map(() => hold.placedAt))] })
  return rows.map((r): Cancellation => r.order_id !== null ? { orderId: r.order_id, reason: r.reason, at: Number(r.at) }
    : { hospitalId: r.hospital_id ?? '', scheduleId: r.schedule_id ?? '', reason: r.reason, at: Number(r.at) })
}

/** What PostgreSQL adds to the port. */
export interface PostgresEnforcementStore extends EnforcementStore {
  /** `apply` as part of the caller's transaction. Several processes may come in another order than they decided: what ended before a hold is recorded ends it too, if it was placed before. */
  applyWithin(client: PoolClient, effects: Parameters<EnforcementStore['apply']>[0]): Promise<void>
  /**
   * Forgets at most `limit` holds that ended before `before` (epoch milliseconds) and reached every sink; returns how many.
   * Keep them longer than a replay may reach back (30 days): a forgotten hold that is applied again would be active again.
   */
  purge(before: number, limit?: number): Promise<number>
}

/**
 * Holds in PostgreSQL. `sinks` are the configured ones: a message owes nothing to the others. Once `expiresAt` has passed a hold
 * can only expire or be cancelled, even before the expiry loop gets to it.
 */
export function createEnforcementStore(pool: Pool, sinks: readonly OutboxSink[] = OUTBOX_SINKS): PostgresEnforcementStore {
  /** Must run in the transaction that ended the holds: a resolution without its message, or the reverse, cannot be. */
  const announce = async (client: PoolClient, ended: readonly HoldRow[]): Promise<void> => {
    if (ended.length === 0) return
    const values = [ended.map((r) => r.hold_id), ended.map((r) => r.order_id), ended.map(messageOf), sinks]
    await client.query({ name: 'outbox-insert', text: OUTBOX, values })
  }

  const find = async (client: Pool | PoolClient, holdId: string): Promise<HoldRow | undefined> =>
    (await client.query<HoldRow>({ name: 'holds-get', text: 'SELECT * FROM holds WHERE hold_id = $1', values: [holdId] })).rows[0]

  const applyWithin: PostgresEnforcementStore['applyWithin'] = async (client, { holds, cancellations }) => {
    if (holds.length > 0) await insert(client, holds)
    if (cancellations.length > 0) await rememberEnds(client, cancellations)
    const all = holds.length > 0 ? [...await endsOf(client, holds), ...cancellations] : cancellations
    if (all.length > 0) await announce(client, await cancel(client, all))
  }

  return {
    async apply(effects) {
      const { holds, cancellations } = effects
      // A single statement is a transaction of its own: two round trips fewer for what is nearly every batch.
      if (cancellations.length === 0) return holds.length === 0 ? undefined : insert(pool, holds)
      await inTransaction(pool, (client) => applyWithin(client, effects))
    },

    applyWithin,

    async resolve(holdId, to, by, reason, at) {
      return inTransaction(pool, async (client): Promise<ResolveResult> => {
        const { rows: [mine] } = await client.query<HoldRow>(RESOLVE, [holdId, at, to, by, reason])
        if (mine !== undefined) {
          await announce(client, [mine])
          return { kind: 'resolved', hold: toState(mine) }
        }
        const { rows } = await client.query<HoldRow>(EXPIRE_ONE, [holdId, at])
        await announce(client, rows)
        const now = await find(client, holdId)
        if (now === undefined) return { kind: 'unknown' }
        return { kind: now.status === to && now.resolved_by === by ? 'resolved' : 'already', hold: toState(now) }
      })
    },

    async expireDue(now, limit) {
      return inTransaction(pool, async (client) => {
        const { rows } = await client.query<HoldRow>({ name: 'holds-expire', text: EXPIRE, values: [now, limit] })
        await announce(client, rows)
        return rows.length
      })
    },

    async get(holdId) {
      const row = await find(pool, holdId)
      return row === undefined ? undefined : toState(row)
    },

    async list({ status, hospitalId, limit, cursor }) {
      const after = cursor === undefined ? [null, null] : fromCursor(cursor)
      const { rows } = await pool.query<HoldRow>(LIST, [status ?? null, hospitalId ?? null, ...after, limit + 1])
      const items = rows.slice(0, limit)
      const last = items.at(-1)
      return { items: items.map(toState), ...(rows.length > limit && last !== undefined && { nextCursor: toCursor(last) }) }
    },

    async pending(sink, limit) {
      const { rows } = await pool.query<OutboxRow>({ name: 'outbox-pending', text: PENDING, values: [sink, limit] })
      // Our own bytes, written by messageOf above.
      const read = (body: string): HoldResolved => JSON.parse(body) as HoldResolved
      return rows.map((r) => ({ outboxId: r.outbox_id, orderId: r.order_id, holdId: r.hold_id, body: r.body, resolved: read(r.body) }))
    },

    async delivered(sink, outboxIds) {
      await pool.query('DELETE FROM hold_outbox_pending WHERE sink = $1 AND outbox_id = ANY($2::bigint[])', [sink, [...outboxIds]])
    },

    async purge(before, limit = 1_000) {
      await pool.query('DELETE FROM hold_ends WHERE at < $1', [before])
      return (await pool.query(PURGE, [before, limit])).rowCount ?? 0
    },

    async ping() {
      await pool.query('SELECT 1')
    },
  }
}
