import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Decision } from '../domain/decision.js'
import type { Recorded } from '../domain/record.js'
import type { HistoryStore } from '../ports/history-store.js'
import type { Journal } from '../ports/journal.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import { queueKeyOf, recordTurn } from '../scoring/observe.js'
import { countEvent, type Rulebook } from '../scoring/score.js'

export interface RecoverOptions {
  journal: Pick<Journal, 'read' | 'firstSeq'>
  history: Pick<HistoryStore, 'read'>
  velocity: VelocityStore
  rulebook: Rulebook
  /** First position to count: the first that a snapshot does not hold. */
  fromSeq: number
  onProgress?: (seq: number) => void
  /** Events counted side by side; other work of this process gets its turn after as many. 64 unless told: a few milliseconds. */
  atOnce?: number
}

/**
 * Brings velocity, custody and the slow queue to where the journal ends. What the journal's files no longer have comes from
 * history. The recorded decisions stand: events are counted again, never decided again. Returns how many were, and the
 * position up to which. The journal must not be retired meanwhile.
 */
export async function recoverVelocity({ journal, history, velocity, rulebook, fromSeq, onProgress, atOnce = 64 }: RecoverOptions): Promise<{ events: number; upTo: number }> {
  let events = 0
  let upTo = fromSeq - 1
  const take = async (records: readonly Recorded[]): Promise<void> => {
    for (let i = 0; i < records.length; i += atOnce) {
      const some = records.slice(i, i + atOnce)
      await countRecorded(velocity, rulebook, some)
      events += some.length
      upTo = some.at(-1)?.seq ?? upTo
      await nextTurn()
    }
    if (records.length > 0) onProgress?.(upTo)
  }
  if (fromSeq < journal.firstSeq) {
    for await (const records of history.read(fromSeq)) {
      await take(records.filter((r) => r.seq < journal.firstSeq))
      if (records.some((r) => r.seq >= journal.firstSeq)) break
    }
  }
  for await (const records of journal.read(Math.max(fromSeq, journal.firstSeq))) await take(records)
  return { events, upTo }
}

/** Counts recorded events side by side: the same counters come of any order. */
export async function countRecorded(velocity: VelocityStore, rulebook: Rulebook, records: readonly Recorded[]): Promise<void> {
  await Promise.all(records.map((record) => count(velocity, rulebook, record)))
}

async function count(velocity: VelocityStore, rulebook: Rulebook, { event, suspected, decision }: Recorded): Promise<void> {
  await velocity.run(countEvent(rulebook, event, suspected))
  if (decision === undefined) return
  const { throttle } = JSON.parse(decision) as Decision
  const key = throttle && queueKeyOf(event)
  if (key) await velocity.run(recordTurn(key, event.occurredAt, event.occurredAt + throttle.retry_after_ms))
}
