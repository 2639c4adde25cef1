import type { FeatureValue } from '../domain/decision.js'
import { WordSet, type Words } from '../domain/hash.js'
import { flagsAt, lengthAt, startOf, timeAt, wordAt, type PackedLog, type Spill } from '../domain/packed-log.js'
import { ENTITY_CAP, type EntityPlan, type Gauge, type GaugeWindow, type VerbPlan } from './plan.js'

/** The event that is being scored: its windows end at `t`, and `last` looks past itself. */
export interface Moment { t: number; id: Words }

/** Where counters go. `saturated` names those that a full log can only approximate. */
export interface Readings { features: (FeatureValue | undefined)[]; saturated: string[] }

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
    // Most of what can be counted of an entity never happened to it.
    if (at === first && !log.spills?.has(verb.verb)) { for (const index of verb.zeros) out.features[index] = 0; continue }
    run.read(verb, log, first, at, moment)
    for (const gauge of verb.gauges) measure(gauge, out)
  }
}

/**
 * The records of one verb, which are equally long in one log, cut at time t and at the start of each window. Index 0 is
 * the oldest. One run serves all in turn, so that nothing is allocated per event.
 */
class Run {
  words: Uint32Array = new Uint32Array(0)
  first = 0
  width = 1
  moment: Moment = { t: 0, id: { hi: 0, lo: 0 } }
  spill: Spill | undefined
  /** Records before this index are at or before t. */
  end = 0
  /** For each of the verb's spansMs: the index of the first record inside. */
  readonly starts: number[] = []

  read(verb: VerbPlan, log: PackedLog, first: number, end: number, moment: Moment): void {
    this.words = log.words
    this.first = first
    this.width = end > first ? lengthAt(log.words, first) : 1
    this.moment = moment
    this.spill = log.spills?.get(verb.verb)
    this.end = this.countUntil((end - first) / this.width, moment.t)
    for (let i = 0; i < verb.spansMs.length; i++) this.starts[i] = this.countUntil(this.end, moment.t - (verb.spansMs[i] ?? 0))
  }

  at(index: number): number { return this.first + index * this.width }

  /** How many of the first `n` records are at or before `timeMs`. */
  private countUntil(n: number, timeMs: number): number {
    const { words, first, width } = this
    let low = 0, high = n
    while (low < high) {
      const middle = (low + high) >>> 1
      if (timeAt(words, first + middle * width) <= timeMs) low = middle + 1
      else high = middle
    }
    return low
  }
}

const run = new Run()

/** From the newest record to the oldest, each window adding to the shorter one before it. */
function measure(gauge: Gauge, out: Readings): void {
  tally.clear()
  let to = run.end
  for (const window of gauge.windows) {
    const from = run.starts[window.span] ?? 0
    const exact = gather(gauge, from, to)
    to = from
    close(window, exact, out)
  }
}

/** Adds records `from` (inclusive) to `to` to the tally. Undefined when the operator has no answer: missing, not zero. */
function gather(gauge: Gauge, from: number, to: number): number | undefined {
  switch (gauge.spec.measure.kind) {
    case 'count': return tally.count(gauge, from, to)
    case 'sum': return tally.total(gauge, from, to)
    case 'distinct': return tally.distinct(gauge, from, to)
    case 'last': return tally.last(gauge, from, to)
    case 'gap_mean': return tally.gapMean(gauge, from, to)
    case 'gap_cv': return tally.gapVariation(gauge, from, to)
  }
}

/** What a full log let go is added where it can be; the other measures stay a lower bound. `last` is exact if it is found. */
function close({ windowMs, feature, index, ring }: GaugeWindow, exact: number | undefined, out: Readings): void {
  const { spill, moment: { t } } = run
  const isSpilled = spill !== undefined && spill.newestMs > t - windowMs && (windowMs !== Infinity || exact === undefined)
  if (isSpilled) out.saturated.push(feature)
  if (exact !== undefined) out.features[index] = isSpilled && ring >= 0 ? exact + spill.estimate(ring, t) : exact
}

/** Gathers one measure at a time, newest record first. Loops keep what they need in locals: they run a thousand times per event. */
class Tally {
  private n = 0
  private sum = 0
  private squares = 0
  private previousMs = NaN
  private readonly words = new WordSet(4 * ENTITY_CAP)

  clear(): void {
    this.n = this.sum = this.squares = 0
    this.previousMs = NaN
    this.words.clear()
  }

  count({ mask, tested }: Gauge, from: number, to: number): number {
    if (tested === 0) return this.n += to - from
    const { words, width } = run
    for (let i = from, at = run.at(from); i < to; i++, at += width) if ((flagsAt(words, at) & tested) === mask) this.n++
    return this.n
  }

  total({ mask, tested, column }: Gauge, from: number, to: number): number {
    const { words, width } = run
    for (let i = from, at = run.at(from); i < to; i++, at += width) if ((flagsAt(words, at) & tested) === mask) this.sum += wordAt(words, at + column)
    return this.sum
  }

  distinct({ mask, tested, column }: Gauge, from: number, to: number): number {
    const { words, width } = run
    for (let i = from, at = run.at(from); i < to; i++, at += width) {
      const word = wordAt(words, at + column)
      // 0: the event did not say.
      if (word !== 0 && (flagsAt(words, at) & tested) === mask) this.words.add(word)
    }
    return this.words.size
  }

  /** Seconds since the newest other event; its own record, of a request or of what custody made of it, is passed over. */
  last({ mask, tested }: Gauge, from: number, to: number): number | undefined {
    const { words, moment: { t, id } } = run
    for (let i = to - 1; i >= from; i--) {
      const at = run.at(i)
      const isOwn = wordAt(words, at + 4) === id.lo && wordAt(words, at + 3) === id.hi
      if (!isOwn && (flagsAt(words, at) & tested) === mask) return (t - timeAt(words, at)) / 1000
    }
    return undefined
  }

  /** Mean gap between neighbours in time, in seconds; one gap is enough. */
  gapMean(gauge: Gauge, from: number, to: number): number | undefined {
    this.addGaps(gauge, from, to)
    return this.n === 0 ? undefined : this.sum / this.n
  }

  /** Standard deviation of the gaps over their mean; needs three that are not all nothing. */
  gapVariation(gauge: Gauge, from: number, to: number): number | undefined {
    this.addGaps(gauge, from, to)
    if (this.n < 3 || this.sum === 0) return undefined
    const mean = this.sum / this.n
    return Math.sqrt(Math.max(0, this.squares / this.n - mean * mean)) / mean
  }

  private addGaps({ mask, tested }: Gauge, from: number, to: number): void {
    const { words, width } = run
    for (let i = to - 1, at = run.at(i); i >= from; i--, at -= width) {
      if ((flagsAt(words, at) & tested) !== mask) continue
      const timeMs = timeAt(words, at)
      if (!Number.isNaN(this.previousMs)) this.addGap((this.previousMs - timeMs) / 1000)
      this.previousMs = timeMs
    }
  }

  private addGap(seconds: number): void {
    this.n++
    this.sum += seconds
    this.squares += seconds * seconds
  }
}

const tally = new Tally()
