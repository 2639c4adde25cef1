import type { Decision } from '../domain/decision.js'
import type { HistoryStore, Recorded } from '../ports/history-store.js'
import type { Journal } from '../ports/journal.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import { queueKeyOf, recordTurn } from '../scoring/observe.js'
import { countEvent, type Rulebook } from '../scoring/score.js'

/**
 * Brings velocity, custody and the slow queue to where the journal ends, from what a snapshot holds (`fromSeq` is the first
 * position it does not). What the journal's files no longer have comes from history. The recorded decisions stand: events
 * are counted again, never decided again. Returns how many were.
 */
export async function recoverVelocity(
  { journal, history, velocity, rulebook, fromSeq, onProgress }:
  { journal: Journal; history: Pick<HistoryStore, 'read'>; velocity: VelocityStore; rulebook: Rulebook; fromSeq: number; onProgress?: (seq: number) => void },
): Promise<number> {
  let recovered = 0
  const take = async (records: readonly Recorded[]): Promise<void> => {
    for (const record of records) await count(velocity, rulebook, record)
    recovered += records.length
    const last = records.at(-1)
    if (last) onProgress?.(last.seq)
  }
  if (fromSeq < journal.firstSeq) for await (const records of history.read(fromSeq)) await take(records.filter((r) => r.seq < journal.firstSeq))
  for await (const records of journal.read(Math.max(fromSeq, journal.firstSeq))) await take(records)
  return recovered
}

async function count(velocity: VelocityStore, rulebook: Rulebook, { event, decision }: Recorded): Promise<void> {
  await velocity.run(countEvent(rulebook, event))
  if (decision === undefined) return
  const { throttle } = JSON.parse(decision) as Decision
  const key = throttle && queueKeyOf(event)
  if (key) await velocity.run(recordTurn(key, event.occurredAt, event.occurredAt + throttle.retry_after_ms))
}
