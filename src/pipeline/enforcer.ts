import type { EnforcementStore } from '../ports/enforcement-store.js'
import type { Effects } from './effects.js'

export interface EnforcerOptions {
  store: Pick<EnforcementStore, 'apply'>
  /** Highest durable position of the journal. */
  durableSeq: () => number
  /** Waits before try number `attempt` (from 1). */
  backOff: (attempt: number) => Promise<void>
  onRetry: (fault: unknown, attempt: number) => void
  /** Called whenever `appliedSeq` may have risen. */
  onProgress: () => void
}

export interface Enforcer {
  /** Must be called in journal order. Resolves once the effects are durable in the store. */
  submit(seq: number, durable: Promise<void>, effects: Effects): Promise<void>
  /** Everything up to here is durable and enforced: it may be given out, published, forgotten. */
  appliedSeq(): number
  /** Resolves when nothing is left to do. */
  idle(): Promise<void>
}

interface Pending { seq: number; durable: Promise<void>; effects: Effects; settle: { resolve: () => void; reject: (fault: unknown) => void } }

/**
 * Writes holds and their cancellations to PostgreSQL, in journal order, all that wait in one transaction. Retries until the
 * store answers: while it does not, decisions with a hold are not given out, all others go on.
 */
export function createEnforcer({ store, durableSeq, backOff, onRetry, onProgress }: EnforcerOptions): Enforcer {
  let pending: Pending[] = []
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    while (pending.length > 0) {
      const batch = [...pending]
      try {
        await Promise.all(batch.map((p) => p.durable))
      } catch (fault) {
        // Never became durable, so it never happened: nothing may be enforced.
        for (const { settle } of batch) settle.reject(fault)
        pending = pending.slice(batch.length)
        continue
      }
      await applyUntilDone(inOrder(batch))
      pending = pending.slice(batch.length)
      for (const { settle } of batch) settle.resolve()
      onProgress()
    }
    running = undefined
  }

  async function applyUntilDone(groups: readonly Effects[]): Promise<void> {
    for (const group of groups) {
      for (let attempt = 1; ; attempt++) {
        try {
          await store.apply(group)
          break
        } catch (fault) {
          onRetry(fault, attempt)
          await backOff(attempt)
        }
      }
    }
  }

  return {
    submit(seq, durable, effects) {
      return new Promise((resolve, reject) => {
        pending.push({ seq, durable, effects, settle: { resolve, reject } })
        running ??= run()
      })
    },
    appliedSeq: () => { const first = pending[0]; return first ? Math.min(first.seq - 1, durableSeq()) : durableSeq() },
    idle: () => running ?? Promise.resolve(),
  }
}

/** As few groups as possible such that, within a group, holds may go before cancellations without changing the outcome. */
function inOrder(batch: readonly Pending[]): Effects[] {
  const groups: Effects[] = []
  let current: Effects = { holds: [], cancellations: [] }
  for (const { effects } of batch) {
    if (effects.holds.length > 0 && current.cancellations.length > 0) {
      groups.push(current)
      current = { holds: [], cancellations: [] }
    }
    current.holds.push(...effects.holds)
    current.cancellations.push(...effects.cancellations)
  }
  groups.push(current)
  return groups
}
