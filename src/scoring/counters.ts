import { LineCounter, parseDocument, isMap, type Document, type Node } from 'yaml'
import { EVENT_TYPES } from '../domain/event.js'

/** Kinds of entity that have velocity state of their own. */
export const ENTITIES = ['patient', 'account', 'device', 'ip', 'ip_prefix', 'phone', 'id_prefix', 'payer', 'seat', 'schedule', 'doctor', 'channel', 'pair'] as const
export type EntityKind = (typeof ENTITIES)[number]

/** What can be counted distinct: every entity, and a few that are only values. */
export const DIMENSIONS = [...ENTITIES, 'department', 'hospital', 'name', 'giver'] as const
export type Dimension = (typeof DIMENSIONS)[number]

/**
 * Event types, and what is derived of them: a slot passed from one order to another; a slot that had come back was taken; a
 * request was suspected for what it was by itself.
 */
export const VERBS = [...EVENT_TYPES, 'slot.handed_over', 'slot.won_back', 'booking.suspected'] as const
export type Verb = (typeof VERBS)[number]

export const FLAGS = ['by_patient', 'linked', 'scarce', 'at_release', 'before_release'] as const
export type Flag = (typeof FLAGS)[number]

export type Measure =
  | { kind: 'count' } | { kind: 'last' } | { kind: 'gap_mean' } | { kind: 'gap_cv' }
  | { kind: 'distinct'; of: Dimension } | { kind: 'sum'; of: 'fee_fen' }

/** One counter over one window: one feature. */
export interface CounterSpec {
  feature: string
  entity: EntityKind
  verb: Verb
  /** Requests only: `orders` leaves out requests that a later one of the same order replaced. */
  as: 'orders' | 'attempts'
  measure: Measure
  where: readonly Flag[]
  /** Absent for `last`. */
  windowMs?: number
  unit: string
  meaning: string
}

/** A fault in a file of rules/, where it stands. */
export interface FileProblem { file: string; line: number; message: string }

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** A window may be 1 s to 90 d. */
const [MIN_WINDOW_MS, MAX_WINDOW_MS] = [1_000, 90 * 86_400_000]

/** `30d` -> milliseconds; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text)
  return match ? Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0) : undefined
}

const includes = <T extends string>(all: readonly T[], value: unknown): value is T => (all as readonly unknown[]).includes(value)

/**
 * Reads the counters file. Returns every problem at once, each with its line; counters are only returned without problems.
 */
export function parseCounters(file: string, text: string): { counters: CounterSpec[]; problems: FileProblem[] } {
  const lines = new LineCounter()
  const doc: Document = parseDocument(text, { lineCounter: lines })
  const problems: FileProblem[] = doc.errors.map((e) => ({ file, line: lines.linePos(e.pos[0]).line, message: e.message.split('\n')[0] ?? '' }))
  const counters: CounterSpec[] = []
  if (problems.length > 0 || !isMap(doc.contents)) return { counters, problems: problems.length > 0 ? problems : [{ file, line: 1, message: 'a map of entities is expected' }] }

  for (const [entity, named] of Object.entries(doc.toJS() as Record<string, unknown>)) {
    const at = (...path: string[]): number => {
      const node = doc.getIn([entity, ...path], true) as Node | undefined
      return node?.range ? lines.linePos(node.range[0]).line : 1
    }
    if (!includes(ENTITIES, entity)) { problems.push({ file, line: at(), message: `unknown entity '${entity}'` }); continue }
    for (const [name, raw] of Object.entries((named ?? {}) as Record<string, unknown>)) {
      const found = parseCounter(entity, name, raw)
      if (found.faults.length > 0) problems.push(...found.faults.map((message) => ({ file, line: at(name), message: `${entity}.${name}: ${message}` })))
      else counters.push(...found.counters)
    }
  }
  return problems.length > 0 ? { counters: [], problems } : { counters, problems }
}

function parseCounter(entity: EntityKind, name: string, raw: unknown): { counters: CounterSpec[]; faults: string[] } {
  const faults: string[] = []
  // It becomes part of a feature's name, which rules write as it is and reviews write unescaped.
  if (!/^[a-z][a-z0-9_]*$/.test(name)) faults.push('a name has small letters, digits and underscores only')
  const spec = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>
  for (const key of Object.keys(spec)) if (!['of', 'as', 'measure', 'where', 'windows'].includes(key)) faults.push(`unknown field '${key}'`)
  const verb = spec['of']
  if (!includes(VERBS, verb)) faults.push(`'of' is no event type: ${JSON.stringify(verb)}`)
  const as = spec['as'] ?? 'attempts'
  if (as !== 'orders' && as !== 'attempts') faults.push(`'as' is orders or attempts`)
  if (verb === 'booking.requested' && spec['as'] === undefined) faults.push(`requests need 'as': orders or attempts`)
  const measure = parseMeasure(spec['measure'])
  if (!measure) faults.push(`unknown measure ${JSON.stringify(spec['measure'])}`)
  const where: unknown[] = Array.isArray(spec['where']) ? spec['where'] : []
  for (const flag of where) if (!includes(FLAGS, flag)) faults.push(`unknown flag ${JSON.stringify(flag)}`)
  const windows = (Array.isArray(spec['windows']) ? spec['windows'] : []).map(String)
  if (measure?.kind === 'last' ? windows.length > 0 : windows.length === 0) faults.push(measure?.kind === 'last' ? `'last' takes no windows` : `'windows' is missing`)
  for (const w of windows) {
    const ms = parseDuration(w)
    if (ms === undefined || ms < MIN_WINDOW_MS || ms > MAX_WINDOW_MS) faults.push(`window '${w}' is not between 1s and 90d`)
  }
  if (new Set(windows).size < windows.length) faults.push('a window is named twice')
  if (measure && includes(VERBS, verb)) faults.push(...neverFires(entity, verb, measure, where))
  if (faults.length > 0 || !measure || !includes(VERBS, verb) || (as !== 'orders' && as !== 'attempts')) return { counters: [], faults }
  const common: Omit<CounterSpec, 'feature' | 'meaning'> = { entity, verb, as, measure, where: where.filter((f): f is Flag => includes(FLAGS, f)), unit: unitOf(measure) }
  const meaning = `${describe(measure)} of ${verb}${verb === 'booking.requested' ? ` (${as})` : ''} per ${entity}`
  if (measure.kind === 'last') return { counters: [{ ...common, feature: `${entity}_${name}_s`, meaning }], faults }
  return { counters: windows.map((w) => ({ ...common, feature: `${entity}_${name}_${w}`, windowMs: parseDuration(w) ?? 0, meaning: `${meaning} in ${w}` })), faults }
}

/** What custody derives is about hands, which have these; besides them a hand-off has a pair and a giver. */
const HAND: readonly Dimension[] = ['account', 'device', 'payer', 'patient', 'phone', 'ip', 'ip_prefix']
const SLOT_FLAGS: readonly unknown[] = ['scarce', 'at_release', 'before_release']

/** A counter of what no event ever carries would be 0 for ever, and its rules silent. */
function neverFires(entity: EntityKind, verb: Verb, measure: Measure, where: readonly unknown[]): string[] {
  const derived = verb === 'slot.handed_over' || verb === 'slot.won_back'
  const carried = (d: Dimension): boolean => d === 'pair' || d === 'giver' ? verb === 'slot.handed_over' : !derived || HAND.includes(d)
  const dimensions: Dimension[] = [entity, ...(measure.kind === 'distinct' ? [measure.of] : [])]
  const faults = dimensions.filter((d) => !carried(d)).map((d) => `${verb} never carries '${d}'`)
  if (measure.kind === 'sum' && derived) faults.push(`${verb} has no fee`)
  for (const flag of where) {
    const possible = flag === 'by_patient' ? verb === 'booking.cancelled' : flag === 'linked' ? verb === 'slot.handed_over' : !SLOT_FLAGS.includes(flag) || !derived
    if (!possible) faults.push(`${verb} never has the flag '${String(flag)}'`)
  }
  return faults
}

function parseMeasure(raw: unknown): Measure | undefined {
  if (raw === 'count' || raw === 'last' || raw === 'gap_mean' || raw === 'gap_cv') return { kind: raw }
  if (raw === 'sum fee_fen') return { kind: 'sum', of: 'fee_fen' }
  const of = typeof raw === 'string' ? /^distinct (\w+)$/.exec(raw)?.[1] : undefined
  return includes(DIMENSIONS, of) ? { kind: 'distinct', of } : undefined
}

const unitOf = (m: Measure): string => m.kind === 'sum' ? 'fen' : m.kind === 'last' || m.kind === 'gap_mean' ? 's' : ''
const describe = (m: Measure): string => m.kind === 'distinct' ? `distinct ${m.of}` : m.kind === 'sum' ? `sum of ${m.of}` : m.kind
