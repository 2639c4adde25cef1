import type { FeatureValue } from '../domain/decision.js'
import { WordSet, type Words } from '../domain/hash.js'
import { flagsAt, lengthAt, startOf, timeAt, wordAt, type PackedLog, type Spill } from '../domain/packed-log.js'
import { ENTITY_CAP, type EntityPlan, type Gauge, type VerbPlan } from './plan.js'

/** The event that is being scored: its windows end at `t`, and `last` looks past itself. */
export interface Moment { t: number; id: Words }

/** Where counters go. `saturated` names those that a full log can only approximate. */
export interface Readings { features: Record<string, FeatureValue>; saturated: string[] }

/**
 * Computes every counter of one entity from its log, at event time `t`: windows are (t - w, t], so an event at exactly
 * t - w is out, ties at t are in, and what happened after t (a late event is being scored) is out.
 * Norm: docs/velocity.md.
 */
export function computeWindows(plan: EntityPlan, log: PackedLog, moment: Moment, out: Readings): void {
  let at = log.from
  for (const verb of plan.verbs) { // in the order of the log
    const first = startOf(log, verb.verb, at)
    at = startOf(log, verb.verb + 1, first)
    measureVerb(verb, log, first, at, moment, out)
  }
}

/** Records of one verb are equally long in one log: `run` says where they are. */
interface Run { words: Uint32Array; first: number; width: number; moment: Moment }

function measureVerb(verb: VerbPlan, log: PackedLog, first: number, end: number, moment: Moment, out: Readings): void {
  const width = end > first ? lengthAt(log.words, first) : 1
  const run: Run = { words: log.words, first, width, moment }
  const seen = countUntil(run, (end - first) / width, moment.t)
  const spill = log.spills?.get(verb.verb)
  for (const gauge of verb.gauges) measure(gauge, run, seen, spill, out)
}

/** How many of the first `n` records are at or before `timeMs`. */
function countUntil({ words, first, width }: Run, n: number, timeMs: number): number {
  let low = 0, high = n
  while (low < high) {
    const middle = (low + high) >>> 1
    if (timeAt(words, first + middle * width) <= timeMs) low = middle + 1
    else high = middle
  }
  return low
}

/** From the newest record to the oldest, each window adding to the one before it. */
function measure(gauge: Gauge, run: Run, seen: number, spill: Spill | undefined, out: Readings): void {
  const { t } = run.moment
  const tally = TALLIES[gauge.spec.measure.kind]
  tally.clear()
  let to = seen
  for (const { windowMs, feature, ring } of gauge.windows) {
    const from = countUntil(run, to, t - windowMs)
    tally.add(run, from, to, gauge)
    to = from
    const exact = tally.value(run.moment)
    const spilled = spill !== undefined && spill.newestMs > t - windowMs && !(windowMs === Infinity && exact !== undefined)
    const value = spilled && ring >= 0 && exact !== undefined ? exact + spill.estimate(ring, t) : exact
    if (value !== undefined) out.features[feature] = value
    if (spilled) out.saturated.push(feature)
  }
}

const counts = (flags: number, { mask, without }: Gauge): boolean => (flags & mask) === mask && (flags & without) === 0

/** Gathers one measure. One of each kind serves all gauges in turn, so nothing is allocated per event. */
interface Tally {
  clear(): void
  /** Records `from` (inclusive) to `to` (exclusive) of the run: older than all added before. */
  add(run: Run, from: number, to: number, gauge: Gauge): void
  /** Undefined when the operator has no answer: missing, not zero. */
  value(moment: Moment): number | undefined
}

class Count implements Tally {
  private n = 0
  clear(): void { this.n = 0 }
  add({ words, first, width }: Run, from: number, to: number, gauge: Gauge): void {
    if (gauge.mask === 0 && gauge.without === 0) { this.n += to - from; return }
    for (let i = from; i < to; i++) if (counts(flagsAt(words, first + i * width), gauge)) this.n++
  }
  value(): number { return this.n }
}

class Sum implements Tally {
  private sum = 0
  clear(): void { this.sum = 0 }
  add({ words, first, width }: Run, from: number, to: number, gauge: Gauge): void {
    for (let i = from; i < to; i++) {
      const at = first + i * width
      if (counts(flagsAt(words, at), gauge)) this.sum += wordAt(words, at + gauge.column)
    }
  }
  value(): number { return this.sum }
}

class Distinct implements Tally {
  private readonly seen = new WordSet(4 * ENTITY_CAP)
  clear(): void { this.seen.clear() }
  add({ words, first, width }: Run, from: number, to: number, gauge: Gauge): void {
    for (let i = from; i < to; i++) {
      const at = first + i * width
      const word = wordAt(words, at + gauge.column)
      // 0: the event did not say.
      if (word !== 0 && counts(flagsAt(words, at), gauge)) this.seen.add(word)
    }
  }
  value(): number { return this.seen.size }
}

/** Seconds since the newest other event; its own record, of a request or of what custody made of it, is passed over. */
class Last implements Tally {
  private newest: number | undefined
  clear(): void { this.newest = undefined }
  add({ words, first, width, moment }: Run, from: number, to: number, gauge: Gauge): void {
    for (let i = to - 1; i >= from && this.newest === undefined; i--) {
      const at = first + i * width
      const isOwn = wordAt(words, at + 4) === moment.id.lo && wordAt(words, at + 3) === moment.id.hi
      if (!isOwn && counts(flagsAt(words, at), gauge)) this.newest = timeAt(words, at)
    }
  }
  value({ t }: Moment): number | undefined { return this.newest === undefined ? undefined : (t - this.newest) / 1000 }
}

/** Gaps between neighbours in time, in seconds. */
abstract class Gaps implements Tally {
  private previous: number | undefined
  protected n = 0
  protected sum = 0
  protected squares = 0
  clear(): void {
    this.previous = undefined
    this.n = this.sum = this.squares = 0
  }
  add({ words, first, width }: Run, from: number, to: number, gauge: Gauge): void {
    for (let i = to - 1; i >= from; i--) {
      const at = first + i * width
      if (!counts(flagsAt(words, at), gauge)) continue
      const time = timeAt(words, at)
      if (this.previous !== undefined) this.addGap((this.previous - time) / 1000)
      this.previous = time
    }
  }
  private addGap(seconds: number): void {
    this.n++
    this.sum += seconds
    this.squares += seconds * seconds
  }
  abstract value(): number | undefined
}

/** One gap is enough for a mean. */
class GapMean extends Gaps {
  value(): number | undefined { return this.n < 1 ? undefined : this.sum / this.n }
}

/** Regularity, the standard deviation over the mean, needs three gaps that are not all nothing. */
class GapVariation extends Gaps {
  value(): number | undefined {
    if (this.n < 3 || this.sum === 0) return undefined
    const mean = this.sum / this.n
    return Math.sqrt(Math.max(0, this.squares / this.n - mean * mean)) / mean
  }
}

const TALLIES = {
  count: new Count(), distinct: new Distinct(), sum: new Sum(), last: new Last(), gap_mean: new GapMean(), gap_cv: new GapVariation(),
} satisfies Record<Gauge['spec']['measure']['kind'], Tally>
