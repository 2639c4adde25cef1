import { BASES, OUTCOMES, type Basis, type Outcome } from '../../domain/decision.js'
import type { FieldError } from '../../domain/event.js'

/** What evaluation reads of a decision (CONTRACT section 2). `decidedAt`: epoch ms. `codes`: each once, sorted. */
export interface DecisionLine { eventId: string; orderId: string; decidedAt: number; outcome: Outcome; basis: Basis; codes: readonly string[] }

/** One line of a labels file (CONTRACT section 4). `tactic` and `gang` only for scalpers, `group` only for innocents. */
export interface Label { eventId: string; kind: LabelKind; tactic?: string; gang?: string; group?: string }
export const LABEL_KINDS = ['scalper', 'legit'] as const
export type LabelKind = (typeof LABEL_KINDS)[number]

/** What evaluation reads of an event (CONTRACT section 1). `at`: epoch ms. `account` and `slot` only compare equal or not. */
export type EventLine =
  | { kind: 'requested'; orderId: string; at: number; account?: string; slot?: string }
  | { kind: 'confirmed'; orderId: string }
  | { kind: 'other' }

export type Read<T> = { ok: true; value: T } | { ok: false; errors: FieldError[] }
type Members = Readonly<Record<string, unknown>>

const membersOf = (value: unknown): Members | undefined => typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
const textOf = (value: unknown): string | undefined => typeof value === 'string' && value !== '' ? value : undefined
const oneOf = <T extends string>(values: readonly T[], value: unknown): T | undefined => values.find((known) => known === value)
const timeOf = (value: unknown): number | undefined => {
  const at = typeof value === 'string' ? Date.parse(value) : NaN
  return Number.isNaN(at) ? undefined : at
}
const wrong = (...errors: FieldError[]): { ok: false; errors: FieldError[] } => ({ ok: false, errors })
const NO_OBJECT = wrong({ path: '', message: 'is no JSON object' })

export function readDecision(value: unknown): Read<DecisionLine> {
  const members = membersOf(value)
  if (!members) return NO_OBJECT
  const [eventId, orderId, decidedAt] = [textOf(members['event_id']), textOf(members['order_id']), timeOf(members['decided_at'])]
  const [outcome, basis, codes] = [oneOf(OUTCOMES, members['outcome']), oneOf(BASES, members['basis']), codesOf(members['reasons'])]
  if (eventId !== undefined && orderId !== undefined && decidedAt !== undefined && outcome && basis && codes) {
    return { ok: true, value: { eventId, orderId, decidedAt, outcome, basis, codes } }
  }
  return wrong(
    ...missing('/event_id', eventId, 'must be a text'), ...missing('/order_id', orderId, 'must be a text'), ...missing('/decided_at', decidedAt, 'must be a time'),
    ...missing('/outcome', outcome, `must be one of ${OUTCOMES.join(', ')}`), ...missing('/basis', basis, `must be one of ${BASES.join(', ')}`),
    ...missing('/reasons', codes, 'must be a list of objects with a code'),
  )
}

function codesOf(reasons: unknown): string[] | undefined {
  if (!Array.isArray(reasons)) return undefined
  const codes = reasons.map((reason: unknown) => textOf(membersOf(reason)?.['code']))
  const known = codes.filter((code) => code !== undefined)
  return known.length === codes.length ? [...new Set(known)].sort() : undefined
}

const missing = (path: string, found: unknown, message: string): FieldError[] => found === undefined ? [{ path, message }] : []

export function readLabel(value: unknown): Read<Label> {
  const members = membersOf(value)
  if (!members) return NO_OBJECT
  const [eventId, kind] = [textOf(members['event_id']), oneOf(LABEL_KINDS, members['label'])]
  const wrongType = ['tactic', 'gang', 'group'].filter((name) => members[name] !== undefined && members[name] !== null && typeof members[name] !== 'string')
  if (eventId === undefined || kind === undefined || wrongType.length > 0) {
    return wrong(
      ...missing('/event_id', eventId, 'must be a text'), ...missing('/label', kind, `must be one of ${LABEL_KINDS.join(', ')}`),
      ...wrongType.map((name) => ({ path: `/${name}`, message: 'must be a text' })),
    )
  }
  const text = (name: 'tactic' | 'gang' | 'group'): Partial<Label> => {
    const found = textOf(members[name])
    return found === undefined ? {} : { [name]: found }
  }
  // A scalper's group and a patient's gang would be contradictions of the file format: they say nothing here.
  return { ok: true, value: { eventId, kind, ...(kind === 'scalper' ? { ...text('tactic'), ...text('gang') } : text('group')) } }
}

/** Also out of a CloudEvents envelope. Only what is used is checked: `replay` checks the rest. */
export function readEvent(value: unknown): Read<EventLine> {
  const outer = membersOf(value)
  const members = outer && 'specversion' in outer ? membersOf(outer['data']) : outer
  if (!members) return NO_OBJECT
  const type = textOf(members['type'])
  if (type === undefined) return wrong({ path: '/type', message: 'must be a text' })
  const isRequest = type === 'booking.requested'
  if (!isRequest && type !== 'booking.confirmed' && type !== 'booking.paid') return { ok: true, value: { kind: 'other' } }
  const [orderId, at] = [textOf(members['order_id']), timeOf(members['occurred_at'])]
  if (orderId === undefined || at === undefined) return wrong(...missing('/order_id', orderId, 'must be a text'), ...missing('/occurred_at', at, 'must be a time'))
  if (!isRequest) return { ok: true, value: { kind: 'confirmed', orderId } }
  const [account, slot] = [textOf(membersOf(members['account'])?.['id']), slotOf(membersOf(members['slot']))]
  return { ok: true, value: { kind: 'requested', orderId, at, ...(account !== undefined && { account }), ...(slot !== undefined && { slot }) } }
}

function slotOf(slot: Members | undefined): string | undefined {
  const id = textOf(slot?.['slot_id'])
  return id === undefined ? undefined : JSON.stringify([slot?.['hospital_id'], slot?.['schedule_id'], id])
}
