import { byText, byTime, groupBy, isIntercepted, isInterception, isScalper, type Ask, type Booking, type Gangs, type Quantiles, type TacticRow } from './report.js'
import { barOf, isTooFew, type Stage } from './bars.js'
import { rate, type GangCluster, type Rate } from './interval.js'

/** Requests that a gang is granted before its tactic is held to the bar. */
const HEAD_START = 10
const MINUTE_MS = 60_000
const UNNAMED = '(none)'

/** A scalper booking, and whether its first request came after the first 10 of its gang. */
interface Placed { booking: Booking; caught: boolean; isAfterHead: boolean }
interface Stop { requests: number; minutes: number }

/** Scalper bookings by gang. One without a gang stands alone: it has no earlier requests, and is no gang. */
export interface GangView { placed: Placed[]; clusters: GangCluster[]; gangs: Gangs }

export function viewGangs(bookings: readonly Booking[]): GangView {
  const scalpers = bookings.filter(isScalper)
  const grouped = groupBy(scalpers.filter(({ label }) => label.gang !== undefined), ({ label }) => label.gang ?? '')
  const alone = scalpers.filter(({ label }) => label.gang === undefined)
  const placed = alone.map((booking): Placed => ({ booking, caught: isIntercepted(booking), isAfterHead: false }))
  const clusters = placed.map(({ caught }): GangCluster => ({ scalper: 1, caught: Number(caught) }))
  const stops: (Stop | undefined)[] = []
  for (const [, members] of grouped) {
    const asks = members.flatMap(({ requests }) => requests).sort(byTime)
    const head = new Set(asks.slice(0, HEAD_START).map(({ eventId }) => eventId))
    const own = members.map((booking): Placed => ({ booking, caught: isIntercepted(booking), isAfterHead: !booking.requests.some((ask) => head.has(ask.eventId)) }))
    placed.push(...own)
    clusters.push({ scalper: own.length, caught: own.filter(({ caught }) => caught).length })
    stops.push(firstStop(asks))
  }
  return { placed, clusters, gangs: gangsOf(stops) }
}

/** The gang's first intercepted request, whatever became of its order: how many requests and minutes it took. */
function firstStop(asks: readonly Ask[]): Stop | undefined {
  const at = asks.findIndex(isInterception)
  const [first, stopped] = [asks[0], asks[at]]
  return first && stopped && { requests: at + 1, minutes: (stopped.decidedAt - first.decidedAt) / MINUTE_MS }
}

function gangsOf(stops: readonly (Stop | undefined)[]): Gangs {
  const stopped = stops.filter((stop) => stop !== undefined)
  const quantiles = (of: (stop: Stop) => number): Quantiles => {
    const sorted = stopped.map(of).sort((a, b) => a - b)
    // Nearest rank over all gangs: the ranks behind those that were stopped are the ones that never were.
    const at = (share: number): number | null => sorted[Math.ceil(share * stops.length) - 1] ?? null
    return { median: at(0.5), p90: at(0.9) }
  }
  return {
    total: stops.length, stopped: stopped.length, never: stops.length - stopped.length,
    requests: quantiles(({ requests }) => requests), minutes: quantiles(({ minutes }) => minutes),
  }
}

/** By number where the names are T1, T2, ... */
const byTactic = (a: TacticRow, b: TacticRow): number => numberIn(a.tactic) - numberIn(b.tactic) || byText(a.tactic, b.tactic)
const numberIn = (name: string): number => Number(/\d+/.exec(name)?.[0] ?? Infinity)

export function tacticRows(placed: readonly Placed[], stage: Stage): TacticRow[] {
  return groupBy(placed, ({ booking }) => booking.label.tactic ?? UNNAMED).map(([tactic, own]) => {
    const rateOf = (some: readonly Placed[]): Rate => rate(some.filter(({ caught }) => caught).length, some.length)
    const after = rateOf(own.filter(({ isAfterHead }) => isAfterHead))
    return {
      tactic, gangs: new Set(own.flatMap(({ booking }) => booking.label.gang ?? [])).size,
      overall: rateOf(own), after_first_10: after, too_few: isTooFew(barOf('tactic_after_10', stage), after),
    }
  }).sort(byTactic)
}
