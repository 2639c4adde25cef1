import { beforeAll, describe, expect, it } from 'vitest'
import { MemoryVelocityStore } from '../../../src/adapters/memory/velocity-store.js'
import type { Processed } from '../../../src/pipeline/engine.js'
import { recoverVelocity } from '../../../src/pipeline/recover.js'
import type { Recorded } from '../../../src/domain/record.js'
import { layoutOf } from '../../../src/scoring/plan.js'
import type { Rulebook } from '../../../src/scoring/score.js'
import { readAll } from '../../contract/suites/journal.js'
import { morning, MORNING_OVER_MS, type WireEvent } from '../../fixtures/morning.js'
import { decidedOf, essence, liveEngine, runAll, shippedRulebook } from '../../support/engine.js'

let rulebook: Rulebook
let records: Recorded[]
/** The bots' orders stay open: what becomes of them when they ask again hangs on their turns in the slow queue. */
const past = (): WireEvent[] => morning().filter((e) => !/^mo-(confirm-bot|cancel)-\d/.test(e.event_id))
beforeAll(async () => {
  // Nobody is held for points: all bots go to the slow queue, whose turns have to come back too.
  rulebook = await shippedRulebook([{ hospitalId: 'h-042', patch: { thresholds: { hold: 101 } }, changedBy: 'anna', changedAt: 0, revision: 1 }])
  const { engine, journal } = await liveEngine(rulebook, MORNING_OVER_MS)
  await runAll(engine, past())
  records = await readAll(journal)
})

/** Records 1 to n of the morning, `firstSeq` and later in the journal, all of them in history. Notes from where history was read. */
function stored(firstSeq: number) {
  const historyReads: number[] = []
  async function* chunks(from: number): AsyncGenerator<Recorded[]> {
    for (let at = from - 1; at < records.length; at += 3) { await Promise.resolve(); yield records.slice(at, at + 3) }
  }
  const journal = {
    firstSeq,
    read(from: number) { if (from < firstSeq) throw new RangeError(`record ${from} is no longer in the journal`); return chunks(from) },
  }
  return { journal, history: { read: (from: number) => { historyReads.push(from); return chunks(from) } }, historyReads }
}
const emptyStore = (): MemoryVelocityStore => new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })

/** Orders ask again before and after their turn has come: what is said depends on all that was counted. */
function probes(): WireEvent[] {
  const bots = past().filter((e) => e.event_id.startsWith('mo-bot-') || e.event_id.startsWith('mo-buyer-'))
  return bots.flatMap((e) => [300, 60_000, 7_200_000].map((ms) => ({ ...e, event_id: `${e.event_id}+${ms}`, occurred_at: new Date(Date.parse(e.occurred_at) + ms).toISOString() })))
}

/** What an engine over this store decides for the probes, with the features it saw. */
async function decisionsOver(velocity: MemoryVelocityStore): Promise<unknown> {
  const { engine, journal } = await liveEngine(rulebook, MORNING_OVER_MS, { velocity: () => velocity })
  const results: Processed[] = await runAll(engine, probes())
  expect(decidedOf(results)).toHaveLength(18)
  return { decisions: essence(results), reviews: (await readAll(journal)).map((r) => r.review?.features) }
}

async function uninterrupted(): Promise<unknown> {
  const { engine, velocity } = await liveEngine(rulebook, MORNING_OVER_MS)
  await runAll(engine, past())
  return decisionsOver(velocity)
}

describe('recovery', () => {
  it('has turns to bring back, or it would prove nothing of the slow queue', () => {
    expect(records.filter((r) => r.decision?.includes('"outcome":"throttle"')).length).toBeGreaterThan(2)
  })

  it('from the journal alone leads to the decisions of a process that never stopped, and asks history nothing', async () => {
    const velocity = emptyStore()
    const { journal, history, historyReads } = stored(1)
    expect(await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: 1 })).toEqual({ events: records.length, upTo: records.length })
    expect(historyReads).toEqual([])
    expect(await decisionsOver(velocity)).toEqual(await uninterrupted())
  })

  it.each([2, 11, 29])('takes what the journal has retired from history, each event once (journal from %i)', async (firstSeq) => {
    const velocity = emptyStore()
    const seen: number[] = []
    const { journal, history, historyReads } = stored(firstSeq)
    expect(await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: 1, onProgress: (seq) => { seen.push(seq) } })).toEqual({ events: records.length, upTo: records.length })
    expect(historyReads).toEqual([1])
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(await decisionsOver(velocity)).toEqual(await uninterrupted())
  })

  it('counts only what a snapshot does not hold', async () => {
    const velocity = emptyStore()
    const whole = stored(1)
    await recoverVelocity({ ...whole, journal: { firstSeq: 1, read: () => whole.journal.read(1) }, velocity, rulebook, fromSeq: 1 })
    const { journal, history } = stored(1)
    expect(await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: 20 })).toEqual({ events: records.length - 19, upTo: records.length })
    expect(await recoverVelocity({ journal, history, velocity, rulebook, fromSeq: records.length + 1 })).toEqual({ events: 0, upTo: records.length })
    // Counting some again changes nothing: every step is idempotent.
    expect(await decisionsOver(velocity)).toEqual(await uninterrupted())
  })
})
