import { setTimeout as sleep } from 'node:timers/promises'
import { loadSnapshot, saveSnapshot } from '../adapters/memory/snapshot-file.js'
import { MemoryVelocityStore } from '../adapters/memory/velocity-store.js'
import type { Logger } from '../adapters/pino/log.js'
import { recoverVelocity } from '../pipeline/recover.js'
import { layoutOf } from '../scoring/plan.js'
import type { HistoryStore } from '../ports/history-store.js'
import type { Journal } from '../ports/journal.js'
import type { Rulebook } from '../scoring/score.js'

/** The counters of this process: recovered, kept in snapshots, rebuilt when asked. */
export interface Counting {
  velocity(): MemoryVelocityStore
  /** True for the moment in which a rebuild takes over. */
  paused(): boolean
  /** Journal position that the newest snapshot stands for. */
  snapshotSeq(): number
  /** Counts everything again from the journal and history; decisions stand. Resolves with the number of events. */
  rebuild(): Promise<number>
  /** Writes a last snapshot. */
  stop(): Promise<void>
}

/** `path`: of the snapshot file. */
export interface CountingDeps { journal: Journal; history: HistoryStore; rulebook: Rulebook; path: string; log: Logger }

/** A snapshot after this many events, looked for this often: a start then has less than that to count again. */
const SNAPSHOT_EVENTS = 100_000
const SNAPSHOT_EVERY_MS = 30_000

/** Recovers velocity and custody to where the journal ends. */
export async function openCounting({ journal, history, rulebook, path, log }: CountingDeps): Promise<Counting> {
  const create = (): MemoryVelocityStore => new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  let velocity = create()
  let paused = false
  let snapshotSeq = await loadSnapshot(velocity, path, journal.lastSeq)
  const { events: counted } = await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: snapshotSeq + 1, onProgress: (seq) => { log.debug({ seq }, 'counting events again') } })
  log.info({ fromSnapshot: snapshotSeq, counted, entities: velocity.size.entities }, 'velocity and custody recovered')

  const untilDurable = async (seq: number): Promise<void> => {
    while (journal.durableSeq < seq) {
      if (journal.fault) throw journal.fault
      await sleep(5)
    }
  }
  let saving: Promise<void> | undefined
  const snapshot = (): Promise<void> => {
    const seq = journal.lastSeq
    saving ??= saveSnapshot(velocity, seq, path, () => untilDurable(seq))
      .then(() => { snapshotSeq = seq }, (fault: unknown) => { log.warn({ error: String(fault) }, 'the snapshot could not be written; a start will take longer') })
      .finally(() => { saving = undefined })
    return saving
  }
  const timer = setInterval(() => { if (journal.lastSeq - snapshotSeq >= SNAPSHOT_EVENTS) void snapshot() }, SNAPSHOT_EVERY_MS)

  return {
    velocity: () => velocity,
    paused: () => paused,
    snapshotSeq: () => snapshotSeq,
    async rebuild() {
      const fresh = create()
      const { events, upTo } = await recoverVelocity({ journal, history, velocity: fresh, rulebook, fromSeq: 1 })
      // The last few are taken over with the door shut for a moment; callers are told to come again.
      paused = true
      try {
        await untilDurable(journal.lastSeq)
        const last = await recoverVelocity({ journal, history, velocity: fresh, rulebook, fromSeq: upTo + 1 })
        velocity = fresh
        // The snapshot there is still shows the state that was not good enough.
        snapshotSeq = 0
        void (saving ?? Promise.resolve()).then(snapshot)
        return events + last.events
      } finally {
        paused = false
      }
    },
    async stop() {
      clearInterval(timer)
      await saving
      if (journal.lastSeq > snapshotSeq) await snapshot()
    },
  }
}
