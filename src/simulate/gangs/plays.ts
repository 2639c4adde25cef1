import type { Tactic } from '../wire.js'

/** Whom a slot is booked for. */
export type Who =
  | 'client'  // the buyer, an ordinary stranger
  | 'puppet'  // somebody whose identity the gang uses again and again
  | 'series'  // an identity made in a row
  | 'odd'     // made carelessly: the name is none

type Weights<T> = readonly (readonly [T, number])[]

/** How a tactic gets at slots, before the gang has learned. Times in milliseconds, shares from 0 to 1. */
export interface Play {
  /** Bookings of one operation. */
  burst: readonly [number, number]
  /** `release`: against the release instant; `hour`: within the hour after it; `day`: at any time. */
  when: Weights<'release' | 'hour' | 'day'>
  /** Of `release`: from the instant, and between the bookings of the operation. */
  afterMs: readonly [number, number]
  apartMs: readonly [number, number]
  /** Bookings at a machine's pace. */
  bot: number
  who: Weights<Who>
  /** `late`: minutes before; `today`: hours before; `old`: before the city began. */
  bind: Weights<'late' | 'today' | 'old'>
  /** `client`: the buyer's own account, lent with its password. */
  account: Weights<'young' | 'aged' | 'bought' | 'client'>
  /** Accounts of one operation: one for all, or one each. */
  oneAccount?: boolean
  hand: 'online' | 'seat' | 'partner'
  /** `own`: of the account's user, with the user's network; the others are the gang's. */
  device: 'own' | 'pool' | 'farm' | 'one'
  phone: Weights<'own' | 'sim' | 'virtual'>
  /** Paid by the gang. */
  payer: number
  proxy: number
  /** Requests of one booking, at even gaps until one is confirmed. */
  clicks: readonly [number, number]
  /** Faces checked just before. */
  face: number
  unbind: number
  /** Several departments for one patient. */
  broad?: boolean
  ends: { cancel: number; expire: number; noShow: number }
}

const USUAL: Play = {
  burst: [1, 4], when: [['release', 7], ['hour', 2], ['day', 1]], afterMs: [500, 4_000], apartMs: [200, 1_500], bot: 0.35, who: [['client', 8], ['puppet', 2]],
  bind: [['late', 4], ['today', 3], ['old', 3]], account: [['young', 2], ['aged', 5], ['client', 3]], hand: 'online', device: 'pool', phone: [['own', 8], ['sim', 2]],
  payer: 0.5, proxy: 0.06, clicks: [1, 1], face: 0.04, unbind: 0.25, ends: { cancel: 0.47, expire: 0.06, noShow: 0.08 },
}

/** DOMAIN 2, row by row. T4 (hand-off) and T5 (watching) begin and end elsewhere: handoff.ts, polling.ts. */
export const PLAYS: Readonly<Record<Tactic, Play>> = {
  T1: {
    ...USUAL, burst: [4, 9], when: [['release', 1]], afterMs: [40, 900], apartMs: [10, 160], bot: 0.9, who: [['client', 4], ['series', 3], ['odd', 2]],
    bind: [['late', 5], ['today', 4], ['old', 1]], account: [['young', 6], ['aged', 4]], phone: [['own', 4], ['virtual', 4], ['sim', 2]], proxy: 0.15,
  },
  T2: { ...USUAL, burst: [2, 4], afterMs: [100, 1_800], bot: 0.8, clicks: [4, 9] },
  T3: {
    ...USUAL, burst: [3, 7], when: [['release', 8], ['hour', 2]], afterMs: [60, 2_500], who: [['series', 8], ['client', 2]], bind: [['late', 3], ['today', 6], ['old', 1]],
    account: [['young', 7], ['aged', 3]], phone: [['sim', 9], ['virtual', 1]], proxy: 0.3,
  },
  T4: { ...USUAL, burst: [1, 3], who: [['puppet', 9], ['client', 1]], account: [['aged', 7], ['young', 3]], bind: [['old', 6], ['today', 3], ['late', 1]], ends: { cancel: 0.1, expire: 0.02, noShow: 0.05 } },
  T5: { ...USUAL, burst: [1, 1], bot: 0.6, bind: [['late', 4], ['today', 4], ['old', 2]], ends: { cancel: 0.25, expire: 0.06, noShow: 0.06 } },
  T6: { ...USUAL, burst: [3, 6], when: [['release', 5], ['hour', 5]], who: [['puppet', 8], ['client', 2]], account: [['aged', 6], ['young', 4]], ends: { cancel: 0.55, expire: 0.22, noShow: 0.13 } },
  T7: { ...USUAL, burst: [2, 5], who: [['client', 1]], bind: [['late', 9], ['today', 1]], account: [['aged', 7], ['young', 3]], oneAccount: true, unbind: 0.9 },
  T8: { ...USUAL, burst: [2, 5], who: [['client', 1]], account: [['client', 6], ['aged', 4]], device: 'own', payer: 1 },
  T9: { ...USUAL, burst: [4, 8], afterMs: [300, 2_500], apartMs: [5, 120], device: 'farm', account: [['aged', 5], ['young', 5]] },
  T10: { ...USUAL, burst: [2, 5], who: [['client', 8], ['puppet', 2]], device: 'one', face: 0.95, bind: [['late', 5], ['today', 4], ['old', 1]] },
  T11: { ...USUAL, burst: [2, 5], when: [['release', 8], ['day', 2]], afterMs: [-40_000, 6_000], apartMs: [4_000, 25_000], hand: 'seat', payer: 0.2 },
  T12: { ...USUAL, burst: [2, 5], when: [['release', 1]], afterMs: [-400_000, 2_000], apartMs: [500, 20_000], hand: 'partner', account: [['client', 1]], payer: 0.25 },
  T13: {
    ...USUAL, burst: [1, 1], when: [['hour', 5], ['day', 4], ['release', 1]], bot: 0.02, who: [['client', 1]], bind: [['old', 6], ['today', 3], ['late', 1]],
    account: [['client', 7], ['aged', 3]], device: 'own', payer: 0.5, phone: [['own', 1]], ends: { cancel: 0.35, expire: 0.04, noShow: 0.05 },
  },
  T14: { ...USUAL, burst: [2, 4], account: [['bought', 1]], oneAccount: true, who: [['client', 1]], bind: [['late', 5], ['today', 5]], phone: [['own', 5], ['sim', 5]] },
  T15: { ...USUAL, burst: [2, 4], when: [['hour', 5], ['day', 4], ['release', 1]], bot: 0.1, who: [['puppet', 1]], broad: true, ends: { cancel: 0.68, expire: 0.08, noShow: 0.08 } },
}
