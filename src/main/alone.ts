import { openFileJournal } from '../adapters/file/journal.js'
import { openPositions } from '../adapters/file/positions.js'
import { effectsOf } from '../pipeline/effects.js'
import { createEnforcer, type Enforcer } from '../pipeline/enforcer.js'
import { createRecorder } from '../pipeline/recorder.js'
import type { Journal } from '../ports/journal.js'
import { openCounting } from './counting.js'
import { PartTrouble, type Keeping, type KeepingDeps } from './keeping.js'
import { backOff, startOutgoing } from './outgoing.js'
import { startRetiring } from './retiring.js'

const POSITION_EVERY_MS = 1_000

/** Everything in this process and its data directory. */
export async function keepAlone({ stores, enforcement, rulebook, config, data, meters, log }: KeepingDeps): Promise<Keeping> {
  const { history, eventLog } = stores
  const positions = await openPositions(data.path('positions'))
  stores.closers.push(() => positions.close())
  const journal = await openFileJournal({
    dir: data.path('journal'), older: (id) => history.find(id),
    onFault: (fault) => { log.error({ error: fault.message, cause: String(fault.cause) }, 'the journal is broken: no event is taken until a restart with room on the disk') },
  })
  stores.closers.push(() => journal.close())
  const counting = await openCounting({ journal, history, rulebook: rulebook(), path: data.path('velocity.snapshot'), log })

  const enforcer = createEnforcer({ store: enforcement, durableSeq: () => journal.durableSeq, backOff, onRetry: meters.retried('enforcement') })
  await enforceFrom(journal, enforcer, (await positions.load('enforcer')).done + 1, 0)
  const savePosition = (): Promise<void> => positions.save('enforcer', { done: enforcer.appliedSeq() }).catch((fault: unknown) => { meters.retried('positions')(fault, 1) })
  const saving = setInterval(() => { void savePosition() }, POSITION_EVERY_MS)
  const outgoing = await startOutgoing({ journal, positions, upTo: () => enforcer.appliedSeq(), enforcement, history, eventLog, config, meters, log })
  let rebuilding = false
  const retiring = startRetiring({
    journal, log, repeatDays: config.repeatDays,
    neededFrom: () => (rebuilding ? 1 : 1 + Math.min(enforcer.appliedSeq(), outgoing.publishedSeq(), outgoing.historySeq(), counting.snapshotSeq())),
  })

  return {
    recorder: createRecorder(journal, enforcer),
    velocity: () => counting.velocity(),
    paused: () => counting.paused(),
    doubt: () => undefined,
    findRecorded: (eventId) => journal.find(eventId) ?? history.find(eventId),
    async rebuild() {
      rebuilding = true
      try {
        await enforceFrom(journal, enforcer, 1, Date.now())
        return await counting.rebuild()
      } finally {
        rebuilding = false
      }
    },
    gauges: () => ({
      journalLastSeq: journal.lastSeq, journalDurableSeq: journal.durableSeq, enforcedSeq: enforcer.appliedSeq(), historySeq: outgoing.historySeq(), publishedSeq: outgoing.publishedSeq(),
      velocityEntities: counting.velocity().size.entities, velocityBytes: counting.velocity().size.bytes, velocityMaxBytes: undefined, leads: { outgoing: true, counters: true }, velocityIncomplete: counting.velocity().incomplete,
    }),
    checks: {
      journal: () => journal.fault ? Promise.reject(new PartTrouble('cannot be written; make room on the disk and restart')) : Promise.resolve(),
    },
    async stop() {
      retiring.stop()
      clearInterval(saving)
      await enforcer.idle()
      await outgoing.stop({ drain: true })
      await savePosition()
      await counting.stop()
    },
  }
}

/**
 * Submits the effects of recorded events again, from journal position `fromSeq`; a start does so for decisions that were
 * durable but perhaps not yet enforced. Holds that end before `aliveAt` are left out.
 */
async function enforceFrom(journal: Pick<Journal, 'read' | 'firstSeq'>, enforcer: Enforcer, fromSeq: number, aliveAt: number): Promise<void> {
  for await (const records of journal.read(Math.max(fromSeq, journal.firstSeq))) {
    const submitted = records.flatMap((record) => {
      const effects = effectsOf(record)
      const holds = effects?.holds.filter((hold) => hold.expiresAt > aliveAt) ?? []
      return effects && (holds.length > 0 || effects.cancellations.length > 0)
        ? [enforcer.submit(record.seq, Promise.resolve(), { ...effects, holds })] : []
    })
    await Promise.all(submitted)
  }
}
