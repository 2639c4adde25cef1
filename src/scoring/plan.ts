import type { CounterSpec, Dimension, EntityKind, Flag, Measure, Verb } from './counters.js'
import { DIMENSIONS, ENTITIES, FLAGS, VERBS } from './counters.js'
import { FIRST_COUNTER } from './catalogue.js'
import { HEAD_WORDS, type LogLayout, type RingSpec } from '../domain/packed-log.js'

/** Kinds of log in the store: the entities that counters are declared for, and three that carry a history of their own. */
export const LOG_KINDS = [...ENTITIES, 'order', 'slot', 'queue'] as const
export type LogKind = (typeof LOG_KINDS)[number]

/** Looked up a hundred times per event: a table, not a search. */
const positions = <T extends string>(all: readonly T[]): Readonly<Record<T, number>> => Object.fromEntries(all.map((name, i) => [name, i])) as Record<T, number>
const KIND_INDEX = positions<LogKind>(LOG_KINDS), DIMENSION_INDEX = positions<Dimension>(DIMENSIONS), VERB_INDEX = positions<Verb>(VERBS)
export const kindIndex = (kind: LogKind): number => KIND_INDEX[kind]
export const dimensionIndex = (dimension: Dimension): number => DIMENSION_INDEX[dimension]
export const verbIndex = (verb: Verb): number => VERB_INDEX[verb]
export const flagBit = (flag: Flag | 'superseded'): number => flag === 'superseded' ? 1 << FLAGS.length : 1 << FLAGS.indexOf(flag)

/** `index`: of its feature in the catalogue. `span`: its place in the verb's spansMs. `ring`: where a full log goes on summing it, -1 nowhere. */
export interface GaugeWindow { windowMs: number; feature: string; index: number; span: number; ring: number }

/** Counters that differ only in their windows: computed in one pass over the log. */
export interface Gauge {
  spec: CounterSpec
  /** Ascending. */
  windows: GaugeWindow[]
  /** A record counts when, of the flags `tested`, those of `mask` are set and no others. */
  mask: number
  tested: number
  /** Offset of the column this gauge reads, from the record's first word; 0 when it reads none. */
  column: number
}

/** How records of one verb are laid out in the log of one kind of entity, and what is computed from them. */
export interface VerbPlan {
  verb: number
  /** Dimensions kept as columns (the low word of their keys), then the fee when it is summed. */
  columns: number[]
  fee: boolean
  gauges: Gauge[]
  /** Indexes of the features that are 0 without a record; the others are missing then. */
  zeros: number[]
  /** All lengths of window that the gauges have; Infinity for `last`. */
  spansMs: number[]
  rings: RingSpec[]
}

export interface EntityPlan { entity: EntityKind; kind: number; verbs: VerbPlan[]; byVerb: (VerbPlan | undefined)[] }
/** `entities` in the order of ENTITIES, which is also the order of their dimensions; their `verbs` in the order of the log. */
export interface VelocityPlan {
  entities: readonly EntityPlan[]
  /** Size of the catalogue. */
  features: number
}

/** Lays out the logs for a set of counters: a record holds just the columns that some counter reads. */
export function planVelocity(counters: readonly CounterSpec[]): VelocityPlan {
  const indexes = new Map(counters.map((c, i) => [c, FIRST_COUNTER + i]))
  const entities = ENTITIES.map((entity, kind) => {
    const mine = counters.filter((c) => c.entity === entity)
    const verbs = [...new Set(mine.map((c) => c.verb))].map((verb) => planVerb(verb, mine.filter((c) => c.verb === verb), indexes))
      .sort((a, b) => a.verb - b.verb)
    const byVerb: (VerbPlan | undefined)[] = VERBS.map((_, v) => verbs.find((plan) => plan.verb === v))
    return { entity, kind, verbs, byVerb }
  })
  return { entities, features: FIRST_COUNTER + counters.length }
}

type Indexes = ReadonlyMap<CounterSpec, number>

const ZERO_WITHOUT: ReadonlySet<Measure['kind']> = new Set(['count', 'distinct', 'sum'])

function planVerb(verb: Verb, counters: readonly CounterSpec[], indexes: Indexes): VerbPlan {
  const dimensions = counters.flatMap((c) => (c.measure.kind === 'distinct' ? [dimensionIndex(c.measure.of)] : []))
  // Kept for `bound_for_s`: when was this patient bound to this account.
  const columns = [...new Set(verb === 'patient.bound' ? [dimensionIndex('patient'), ...dimensions] : dimensions)].sort((a, b) => a - b)
  const fee = counters.some((c) => c.measure.kind === 'sum')
  const groups = new Map<string, CounterSpec[]>()
  for (const c of counters) {
    const alike = JSON.stringify([c.as, c.measure, c.where])
    groups.set(alike, [...(groups.get(alike) ?? []), c])
  }
  const rings: RingSpec[] = []
  const spansMs = [...new Set(counters.map((c) => c.windowMs ?? Infinity))]
  const gauges = [...groups.values()].flatMap((group) => {
    const spec = group[0]
    return spec ? [createGauge(spec, group, columns, spansMs, rings, indexes)] : []
  })
  const zeros = gauges.filter(({ spec }) => ZERO_WITHOUT.has(spec.measure.kind)).flatMap(({ windows }) => windows.map(({ index }) => index))
  return { verb: verbIndex(verb), columns, fee, gauges, zeros, spansMs, rings }
}

function createGauge(
  spec: CounterSpec, group: readonly CounterSpec[], columns: readonly number[], spansMs: readonly number[], rings: RingSpec[], indexes: Indexes,
): Gauge {
  const { measure } = spec
  const mask = spec.where.reduce((bits, flag) => bits | flagBit(flag), 0)
  const tested = spec.as === 'orders' ? mask | flagBit('superseded') : mask
  const column = measure.kind === 'distinct' ? HEAD_WORDS + columns.indexOf(dimensionIndex(measure.of)) : measure.kind === 'sum' ? HEAD_WORDS + columns.length : 0
  // Only counts and sums can go on without the records; the other measures stay a lower bound.
  const outlives = measure.kind === 'count' || measure.kind === 'sum'
  const windows = group.map((counter): GaugeWindow => {
    const { feature, windowMs = Infinity } = counter
    return { windowMs, feature, index: indexes.get(counter) ?? -1, span: spansMs.indexOf(windowMs), ring: outlives ? rings.push({ windowMs, mask, tested, column }) - 1 : -1 }
  })
  return { spec, windows: windows.sort((a, b) => a.windowMs - b.windowMs), mask, tested, column }
}

/** Records of one verb that a log keeps exactly; beyond it counts are approximate and marked. */
export const ENTITY_CAP = 128
/** An order has few records. A slot may be asked for by hundreds, and none of them may push its holder out of the chain. */
export const ORDER_CAP = 64
export const SLOT_CAP = 256
/** A visit may be 90 days off and an order's end comes after it; counters reach back 90 days. */
const HORIZON_MS = 120 * 86_400_000

/** The layout of the store for a plan. */
export function layoutOf(plan: VelocityPlan): LogLayout {
  const caps = LOG_KINDS.map((kind) => (kind === 'queue' ? 1 : kind === 'slot' ? SLOT_CAP : kind === 'order' ? ORDER_CAP : ENTITY_CAP))
  const shape = plan.entities.map((e) => e.verbs.map((v) => [v.verb, v.columns, v.fee, v.rings]))
  return {
    cap: (kind) => caps[kind] ?? ENTITY_CAP,
    rings: (kind, verb) => plan.entities[kind]?.byVerb[verb]?.rings ?? [],
    leads: (kind) => kind >= ENTITIES.length,
    horizonMs: HORIZON_MS,
    version: JSON.stringify([2, LOG_KINDS, DIMENSIONS, VERBS, FLAGS, caps, shape]),
  }
}
