/**
 * All chance of the city comes from its seed. People, doctors and devices are computed from their numbers by hashing, so
 * nothing about them has to be kept; what happens is drawn from streams. The same seed gives the same city, byte for byte.
 */

/** murmur3's finaliser (public domain, A. Appleby): one-to-one on 32 bits. */
export function scramble(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** 32 bits of several numbers; their order matters. */
export function hash(...keys: readonly number[]): number {
  let h = 0x2545f491
  for (const key of keys) h = scramble(Math.imul(h, 0x9e3779b1) ^ (key | 0) ^ Math.floor(key / 2 ** 32))
  return h
}

/** In [0, 1), from several numbers. */
export const share = (...keys: readonly number[]): number => hash(...keys) / 2 ** 32

/** What is hashed: keeps the draws of different things apart. */
export const KIND = {
  event: 1, order: 2, account: 3, device: 4, payer: 5, session: 6, schedule: 7, slot: 8, hospital: 9, doctor: 10, operator: 11, seat: 12, partner: 13,
  person: 20, phone: 21, block: 22, household: 23, network: 24, nat: 26, member: 27, registered: 28, bound: 29, episode: 30, department: 31,
  clinicDay: 32, outage: 34, gang: 35, city: 36, citizens: 37, cluster: 39, wifi: 40, platform: 41, puppet: 42,
} as const

/** An opaque id: no two numbers of a kind share one, and nothing can be read from it. */
export function opaque(prefix: string, seed: number, kind: number, n: number): string {
  const high = scramble(hash(seed, kind) ^ n)
  return `${prefix}-${hex(high)}${hex(hash(seed, kind, n))}`
}

const hex = (word: number): string => word.toString(16).padStart(8, '0')

/** A stream of draws (mulberry32), named by numbers. */
export class Random {
  private state: number

  constructor(...keys: readonly number[]) { this.state = hash(...keys) }

  /** In [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  chance(probability: number): boolean { return this.next() < probability }
  /** A whole number below `n`. */
  below(n: number): number { return Math.floor(this.next() * n) }
  between(low: number, high: number): number { return low + this.next() * (high - low) }
  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number { return low + this.below(high - low + 1) }
  exponential(mean: number): number { return -mean * Math.log(1 - this.next()) }

  /** Around `median`; about two thirds fall between median / e^spread and median * e^spread. */
  around(median: number, spread: number): number {
    const gauss = Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
    return median * Math.exp(spread * gauss)
  }

  pick<T>(list: readonly T[]): T { return must(list[this.below(list.length)]) }

  /** One of the pairs' values, as often as its weight says. */
  weighted<T>(table: readonly (readonly [T, number])[]): T {
    let left = this.next() * table.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [value, weight] of table) if ((left -= weight) < 0) return value
    return must(table[table.length - 1])[0]
  }

  shuffled<T>(list: readonly T[]): T[] {
    const deck = [...list]
    for (let i = deck.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const card = must(deck[i])
      deck[i] = must(deck[j])
      deck[j] = card
    }
    return deck
  }
}

/** For what cannot be missing: an index below a length, a list that is never empty. */
export function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the city has drawn from an empty list')
  return value
}

/** Draws indexes as often as their weights say, in logarithmic time. */
export class Wheel {
  private readonly sums: Float64Array
  constructor(weights: readonly number[]) {
    let sum = 0
    this.sums = Float64Array.from(weights, (weight) => (sum += weight))
  }

  get total(): number { return this.sums[this.sums.length - 1] ?? 0 }

  spin(random: Random): number {
    const wanted = random.next() * this.total
    let [low, high] = [0, this.sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.sums[middle] ?? 0) > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}
