import type { Basis, Outcome } from '../../../src/domain/decision.js'
import type { Stage } from '../../../src/learn/evaluate/bars.js'
import { evaluate } from '../../../src/learn/evaluate/evaluate.js'
import type { DecisionLine, EventLine, Label } from '../../../src/learn/evaluate/input.js'
import type { Report } from '../../../src/learn/evaluate/report.js'

export const START = Date.parse('2026-11-20T07:00:00.000+08:00')
export const MINUTE_MS = 60_000

export interface Case { labels: Label[]; decisions: DecisionLine[]; events?: EventLine[] }

/** One outcome of a request; `policy` after a `/` for its basis. */
type Said = Outcome | `${Outcome}/${Basis}`

/** An order whose requests, a minute apart from `minute` on, were answered with `said`; event ids are `ORDER.1`, `ORDER.2`, ... */
export function order(orderId: string, minute: number, said: readonly Said[], label: Omit<Label, 'eventId'>, codes: readonly string[] = []): Case {
  const eventId = (i: number): string => `${orderId}.${i + 1}`
  return {
    labels: said.map((_, i) => ({ eventId: eventId(i), ...label })),
    decisions: said.map((one, i): DecisionLine => {
      const [outcome, basis = 'risk'] = one.split('/') as [Outcome, Basis?]
      return { eventId: eventId(i), orderId, decidedAt: START + (minute + i) * MINUTE_MS, outcome, basis, codes }
    }),
  }
}

export const scalper = (tactic?: string, gang?: string): Omit<Label, 'eventId'> => ({ kind: 'scalper', ...(tactic !== undefined && { tactic }), ...(gang !== undefined && { gang }) })
export const legit = (group?: string): Omit<Label, 'eventId'> => ({ kind: 'legit', ...(group !== undefined && { group }) })

export const together = (...cases: readonly Case[]): Case => ({
  labels: cases.flatMap(({ labels }) => labels), decisions: cases.flatMap(({ decisions }) => decisions),
  ...(cases.some(({ events }) => events) && { events: cases.flatMap(({ events }) => events ?? []) }),
})

// eslint wants an await in an async generator; a stream that is already there needs none.
const stream = <T>(values: readonly T[]): AsyncIterable<T> => new ReadableStream<T>({
  start(controller) {
    for (const value of values) controller.enqueue(value)
    controller.close()
  },
})

export const measure = ({ labels, decisions, events }: Case, stage: Stage = 'rules'): Promise<Report> =>
  evaluate({ labels: stream(labels), decisions: stream(decisions), ...(events && { events: stream(events) }) }, stage)

/** One gang of twelve bookings, two small ones, a loner, and patients of three groups: every figure can be counted by hand. */
export const SMALL = together(
  ...(['allow', 'allow', 'allow', 'hold', 'allow', 'throttle', 'throttle', 'throttle', 'throttle', 'throttle', 'hold', 'allow'] as const)
    .map((said, i) => order(`g1-${String(i + 1).padStart(2, '0')}`, i, [said], scalper('T4', 'G1'), said === 'allow' ? [] : ['SLOT_HANDOFF'])),
  order('g2-01', 0, ['throttle', 'allow'], scalper('T1', 'G2')),
  order('g3-01', 0, ['allow'], scalper('T1', 'G3')),
  order('lone', 5, ['deny/policy'], scalper('T6'), ['LIMIT_DAY']),
  order('fa-1', 1, ['hold'], legit('family'), ['SLOT_HANDOFF', 'SLOT_WATCH']),
  order('fa-2', 2, ['challenge', 'allow'], legit('family')),
  order('fa-3', 3, ['throttle', 'allow'], legit('family')),
  order('fa-4', 4, ['allow'], legit('family')),
  order('na-1', 5, ['allow'], legit('nat')),
  order('na-2', 6, ['allow'], legit('nat')),
  order('no-1', 7, ['deny/policy'], legit(), ['LIMIT_DAY']),
)
