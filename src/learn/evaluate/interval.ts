/** A share with its 95 % interval. `value`, `low` and `high` are null when nothing was counted (`of` is 0). */
export interface Rate { count: number; of: number; value: number | null; low: number | null; high: number | null }
export interface Interval { low: number; high: number }

/** The 97.5 % point of the normal distribution. */
const Z = 1.959963984540054

/** Wilson's score interval (1927), without continuity correction: fit for small counts and for shares near 0 and 1. */
export function wilson(count: number, of: number): Interval {
  const share = count / of
  const z2 = Z * Z / of
  const middle = (share + z2 / 2) / (1 + z2)
  const half = Z * Math.sqrt((share * (1 - share) + z2 / 4) / of) / (1 + z2)
  // Rounding must not leave 0 or 1 outside where the formula gives exactly these.
  return { low: count === 0 ? 0 : middle - half, high: count === of ? 1 : middle + half }
}

export const rate = (count: number, of: number): Rate =>
  of === 0 ? { count, of, value: null, low: null, high: null } : { count, of, value: count / of, ...wilson(count, of) }

/** mulberry32: a fixed seed gives the same numbers everywhere. Uniform in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Poisson with mean 1, by Knuth's product of uniforms. */
function poissonOne(random: () => number): number {
  let [count, product] = [0, random()]
  while (product > Math.exp(-1)) { count++; product *= random() }
  return count
}

/** Middle 95 % of values by nearest rank; undefined without any. */
function middle95(values: readonly number[]): Interval | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  const [low, high] = [sorted[Math.floor(0.025 * (sorted.length - 1))], sorted[Math.ceil(0.975 * (sorted.length - 1))]]
  return low === undefined || high === undefined ? undefined : { low, high }
}

/** Bookings of one gang: of `scalper` bookings `caught` were intercepted. */
export interface GangCluster { scalper: number; caught: number }
export interface ClusterIntervals { precision: Interval | null; recall: Interval | null; f1: Interval | null }

const ROUNDS = 1_000
const SEED = 20_261_122

/**
 * Bootstrap of clusters, since bookings of one gang share accounts, devices and fate. Gangs are drawn with replacement;
 * innocent clusters get a Poisson(1) weight each, which is the same in the limit and needs only those that were ever
 * intercepted (`wrongs`: bookings wrongly intercepted per cluster). The order of the clusters must not depend on that of the
 * input. Null for fewer than two gangs: one says nothing of how gangs differ.
 */
export function clusterIntervals(gangs: readonly GangCluster[], wrongs: readonly number[]): ClusterIntervals {
  if (gangs.length < 2) return { precision: null, recall: null, f1: null }
  const random = seeded(SEED)
  const [precisions, recalls, f1s]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    let [scalper, caught, wrong] = [0, 0, 0]
    for (let i = 0; i < gangs.length; i++) {
      const gang = gangs[Math.floor(random() * gangs.length)]
      scalper += gang?.scalper ?? 0
      caught += gang?.caught ?? 0
    }
    for (const bookings of wrongs) wrong += bookings * poissonOne(random)
    if (caught + wrong > 0) precisions.push(caught / (caught + wrong))
    if (scalper > 0) { recalls.push(caught / scalper); f1s.push(2 * caught / (scalper + caught + wrong)) }
  }
  return { precision: middle95(precisions) ?? null, recall: middle95(recalls) ?? null, f1: middle95(f1s) ?? null }
}
