import type { EnforcementStore } from '../ports/enforcement-store.js'
import { inOrder, type Effects } from '../ports/recorder.js'

export interface EnforcerOptions {
  store: Pick<EnforcementStore, 'apply'>
  /** Highest durable position of the journal. */
  durableSeq: () => number
  /** Waits before try number `attempt` (from 1). */
  backOff: (attempt: number) => Promise<void>
  onRetry: (fault: unknown, attempt: number) => void
}

export interface Enforcer {
  /**
   * New effects come in journal order, right after their append; those of positions that are durable already (a start, a
   * rebuild) at any time. Resolves once the effects are durable in the store; rejects when `durable` does.
   */
  submit(seq: number, durable: Promise<void>, effects: Effects): Promise<void>
  /** Resolves once the effects submitted for position `seq` are in the store; at once when there are none left to write. */
  applied(seq: number): Promise<void>
  /** Everything up to here is durable and enforced: it may be published and forgotten. Never falls; right once a start has submitted its rest. */
  appliedSeq(): number
  /** Resolves when nothing is left to do. */
  idle(): Promise<void>
}

/** `again`: the position was durable before, so `appliedSeq` has passed it. */
interface Pending { seq: number; again: boolean; durable: Promise<void>; effects: Effects; done: Promise<void>; settle: { resolve: () => void; reject: (fault: unknown) => void } }

/**
 * Writes holds and their cancellations to PostgreSQL, in journal order, all that wait in one transaction. Retries until the
 * store answers: while it does not, decisions with a hold are not given out, all others go on.
 */
export function createEnforcer({ store, durableSeq, backOff, onRetry }: EnforcerOptions): Enforcer {
  let pending: Pending[] = []
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    for (let [first] = pending; first; [first] = pending) {
      try {
        await first.durable
      } catch (fault) {
        // It never became durable, so it never happened, and nothing of it may be enforced.
        pending = pending.slice(1)
        first.settle.reject(fault)
        continue
      }
      // Records become durable in groups: the others of this one need not wait for a transaction of their own.
      const upTo = durableSeq()
      const end = pending.findIndex((p, i) => i > 0 && p.seq > upTo)
      const batch = end < 0 ? [...pending] : pending.slice(0, end)
      for (const group of inOrder(batch.map((p) => p.effects))) await applyUntilDone(group)
      pending = pending.slice(batch.length)
      for (const { settle } of batch) settle.resolve()
    }
    running = undefined
  }

  async function applyUntilDone(group: Effects): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await store.apply(group)
        return
      } catch (fault) {
        onRetry(fault, attempt)
        await backOff(attempt)
      }
    }
  }

  return {
    submit(seq, durable, effects) {
      let settle: Pending['settle'] = { resolve: () => undefined, reject: () => undefined }
      const done = new Promise<void>((resolve, reject) => { settle = { resolve, reject } })
      pending.push({ seq, again: seq <= durableSeq(), durable, effects, done, settle })
      running ??= run()
      return done
    },
    applied: (seq) => pending.find((p) => p.seq === seq)?.done ?? Promise.resolve(),
    appliedSeq: () => { const first = pending.find((p) => !p.again); return first ? Math.min(first.seq - 1, durableSeq()) : durableSeq() },
    idle: () => running ?? Promise.resolve(),
  }
}
