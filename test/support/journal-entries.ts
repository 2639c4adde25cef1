import type { Recorded } from '../../src/domain/record.js'

/** Synthetic records for journals; a number makes the same record in every process. */
export type Entry = Omit<Recorded, 'seq'>

const T0 = Date.parse('2026-11-20T07:00:00.000+08:00')

/** Every third is a decided request, whose bytes hold what is hard to keep as it was. */
export function anEntry(id: string | number, changes: Partial<Entry> = {}): Entry {
  const n = Number(id) || 0
  const base: Entry = { acceptedAt: T0 + n, bodyHash: `hash-${id}`, event: { eventId: `e-${id}`, type: 'booking.paid', occurredAt: T0 + n, orderId: `o-${id}` } }
  const review = {
    would_be: { outcome: 'hold', basis: 'risk', reasons: [] }, enforcement: 'observe', rule_score: 71.5, rule_hits: [], shadow_hits: [], rule_errors: [],
    features: { lead_h: 0.1 + 0.2, channel_kind: 'app', emulator: false }, saturated: ['ip_requests_24h'],
  } satisfies Entry['review']
  const decided = { decision: `{"event_id":"e-${id}","reasons":"请 \\u2028 \\"quoted\\" \\\\n","score":null}`, review }
  return { ...base, ...(n % 3 === 0 ? decided : {}), ...changes }
}

/** A record without its bytes, which say the same again; a review that waits to be asked for is asked for. */
export function bare<R extends Recorded | undefined>(record: R): R {
  if (!record) return record
  const copy = { ...record }
  delete copy.lines
  return copy
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)
