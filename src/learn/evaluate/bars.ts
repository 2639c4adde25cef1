import type { Rate } from './interval.js'

/** Which column of the table is asked for. */
export const STAGES = ['rules', 'model'] as const
export type Stage = (typeof STAGES)[number]

export const BAR_NAMES = ['recall', 'tactic_after_10', 'precision', 'innocents', 'worst_group'] as const
export type BarName = (typeof BAR_NAMES)[number]

/** A share must be at least (`least`) or at most (`most`) `limit`. */
export interface Bar { name: BarName; side: 'least' | 'most'; limit: number }

/** The detection bars of the project's quality goals (docs/evaluate.md): rules alone on day one, and with a trained model. */
const LIMITS: Readonly<Record<BarName, Readonly<Record<Stage, number>> & { side: Bar['side'] }>> = {
  recall: { side: 'least', rules: 0.70, model: 0.90 },
  tactic_after_10: { side: 'least', rules: 0.50, model: 0.75 },
  precision: { side: 'least', rules: 0.90, model: 0.95 },
  innocents: { side: 'most', rules: 0.003, model: 0.0015 },
  worst_group: { side: 'most', rules: 0.02, model: 0.01 },
}

export const barOf = (name: BarName, stage: Stage): Bar => ({ name, side: LIMITS[name].side, limit: LIMITS[name][stage] })

const FEWEST = 10
/**
 * Fewest bookings by which a group or a tactic is judged: so many that one of them alone cannot miss the bar (50 for
 * "at most 2 %"), and never under ten.
 */
export const fewestFor = ({ side, limit }: Bar): number => Math.max(FEWEST, Math.ceil(1 / (side === 'most' ? limit : 1 - limit) - 1e-9))

/**
 * Whether a group's or tactic's share says too little to be judged. However few bookings there are: two or more on the wrong
 * side and an interval that lies wholly beyond the bar are enough.
 */
export function isTooFew(bar: Bar, { count, of, low, high }: Rate): boolean {
  if (of >= fewestFor(bar)) return false
  const [wrong, isBeyond] = bar.side === 'most' ? [count, (low ?? 0) > bar.limit] : [of - count, (high ?? 1) < bar.limit]
  return wrong < 2 || !isBeyond
}

export const meets = ({ side, limit }: Bar, share: number): boolean => side === 'least' ? share >= limit : share <= limit

/** `met` is null when there was nothing to measure. `of`: the tactic or group the figure is of. */
export interface Verdict { name: BarName; side: Bar['side']; limit: number; value: number | null; met: boolean | null; of?: string }

export const judge = (bar: Bar, value: number | null, of?: string): Verdict =>
  ({ ...bar, value, met: value === null ? null : meets(bar, value), ...(of !== undefined && { of }) })
