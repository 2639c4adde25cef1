import { BASES, OUTCOMES, type Outcome } from '../../domain/decision.js'
import { readAftermath, type Aftermath } from './aftermath.js'
import { barOf, BAR_NAMES, judge, meets, type BarName, type Stage, type Verdict } from './bars.js'
import { tacticRows, viewGangs } from './gangs.js'
import { innocentsOf } from './innocents.js'
import type { DecisionLine, EventLine, Label } from './input.js'
import { clusterIntervals, rate, type GangCluster } from './interval.js'
import { join } from './join.js'
import { byText, groupBy, isIntercepted, isPolicyStop, isScalper, lastOf, type Booking, type Pair, type Report, type TacticRow } from './report.js'

export interface Sources { labels: AsyncIterable<Label>; decisions: AsyncIterable<DecisionLine>; events?: AsyncIterable<EventLine> }

/**
 * Measures decisions against labels. `stage` chooses the bars. Sources are read one after the other, each once; the order
 * of their lines does not matter. With nothing joined all counts are 0 and all shares null.
 */
export async function evaluate({ labels, decisions, events }: Sources, stage: Stage): Promise<Report> {
  const { bookings, input } = await join(labels, decisions)
  const aftermath = events && await readAftermath(bookings, events)
  const { placed, clusters, gangs } = viewGangs(bookings)
  const scalpers = bookings.filter(isScalper)
  const measured = {
    interception: interceptionOf(bookings, clusters, aftermath), innocents: innocentsOf(bookings, stage), tactics: tacticRows(placed, stage),
  }
  return {
    stage, input: { ...input, events: aftermath?.events ?? 0 },
    bookings: {
      total: bookings.length, scalper: scalpers.length, legit: bookings.length - scalpers.length,
      requests: bookings.reduce((sum, { requests }) => sum + requests.length, 0),
    },
    ...measured, gangs, held: rate(bookings.filter((booking) => lastOf(booking).outcome === 'hold').length, bookings.length),
    slots: aftermath?.slots ?? null, ...tablesOf(bookings), verdicts: verdictsOf(measured, stage),
  }
}

function interceptionOf(bookings: readonly Booking[], clusters: readonly GangCluster[], aftermath: Aftermath | undefined): Report['interception'] {
  const [caught, wrong] = [pairOf(bookings.filter(isIntercepted)).scalper, bookings.filter((booking) => !isScalper(booking) && isIntercepted(booking))]
  const { scalper, legit } = pairOf(bookings)
  // Two bookings of one account stand or fall together; without events each stands alone. Orders and accounts do not mix.
  const wrongs = groupBy(wrong, ({ orderId }) => JSON.stringify([aftermath?.accounts.get(orderId) ?? null, aftermath?.accounts.has(orderId) ? '' : orderId]))
  return {
    true_positives: caught, false_positives: wrong.length, false_negatives: scalper - caught, true_negatives: legit - wrong.length,
    precision: rate(caught, caught + wrong.length), recall: rate(caught, scalper), f1: scalper + caught + wrong.length === 0 ? null : 2 * caught / (scalper + caught + wrong.length),
    by_cluster: {
      ...clusterIntervals(clusters, wrongs.map(([, own]) => own.length)), gangs: clusters.length, innocents_by: aftermath ? 'account' : 'order',
    },
  }
}

const pairOf = (some: readonly Booking[]): Pair => {
  const scalper = some.filter(isScalper).length
  return { scalper, legit: some.length - scalper }
}

const outcomesOf = (some: readonly Booking[]): Record<Outcome, number> => {
  const counts: Record<Outcome, number> = { allow: 0, challenge: 0, throttle: 0, hold: 0, deny: 0 }
  for (const booking of some) counts[lastOf(booking).outcome]++
  return counts
}

/** Counts by outcome, basis and reason code, all of the last request of each booking. */
function tablesOf(bookings: readonly Booking[]): Pick<Report, 'policy' | 'by_basis' | 'matrix' | 'reasons'> {
  const ofCode = (some: readonly Booking[]): (Pair & { code: string })[] =>
    groupBy(some.flatMap((booking) => lastOf(booking).codes.map((code) => ({ code, booking }))), ({ code }) => code)
      .map(([code, hits]) => ({ code, ...pairOf(hits.map(({ booking }) => booking)) }))
  const limited = bookings.filter((booking) => isPolicyStop(lastOf(booking)))
  const byBasis = groupBy(bookings, (booking) => `${lastOf(booking).basis} ${lastOf(booking).outcome}`)
  const pairs = new Map(byBasis.map(([key, own]) => [key, pairOf(own)]))
  return {
    policy: { ...pairOf(limited), codes: ofCode(limited) },
    by_basis: BASES.flatMap((basis) => OUTCOMES.flatMap((outcome) => {
      const pair = pairs.get(`${basis} ${outcome}`)
      return pair ? [{ basis, outcome, ...pair }] : []
    })),
    matrix: { scalper: outcomesOf(bookings.filter(isScalper)), legit: outcomesOf(bookings.filter((booking) => !isScalper(booking))) },
    reasons: ofCode(bookings).map((row) => ({ ...row, precision: rate(row.scalper, row.scalper + row.legit) }))
      .sort((a, b) => b.scalper + b.legit - a.scalper - a.legit || byText(a.code, b.code)),
  }
}

/** One verdict per bar; that on tactics and groups is of the worst one with enough bookings. */
function verdictsOf({ interception, innocents, tactics }: Pick<Report, 'interception' | 'innocents' | 'tactics'>, stage: Stage): Verdict[] {
  const bar = (name: BarName): ReturnType<typeof barOf> => barOf(name, stage)
  const worstGroup = innocents.groups.find(({ group }) => group === innocents.worst)
  const tactic = worstTactic(tactics)
  const values: Record<BarName, [value: number | null, of?: string | undefined]> = {
    recall: [interception.recall.value], precision: [interception.precision.value], innocents: [innocents.overall.value],
    tactic_after_10: [tactic?.after_first_10.value ?? null, tactic?.tactic], worst_group: [worstGroup?.intercepted.value ?? null, worstGroup?.group],
  }
  return BAR_NAMES.map((name) => judge(bar(name), ...values[name]))
}

function worstTactic(tactics: readonly TacticRow[]): TacticRow | undefined {
  return tactics.filter(({ too_few }) => !too_few)
    .reduce<TacticRow | undefined>((worst, row) => worst && (worst.after_first_10.value ?? 1) <= (row.after_first_10.value ?? 1) ? worst : row, undefined)
}

/** The bar that one tactic or group has to keep, and whether it does: null when it has too few bookings to tell. */
export const rowMeets = (name: 'tactic_after_10' | 'worst_group', stage: Stage, value: number | null, tooFew: boolean): boolean | null =>
  value === null || tooFew ? null : meets(barOf(name, stage), value)
