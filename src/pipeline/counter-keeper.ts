import type { CounterLedger, CounterMarks, FoundMarks, Standing } from '../ports/counter-standing.js'
import { doubtOf, markOf, type Doubt } from './counter-watch.js'

export interface KeeperOptions {
  marks: CounterMarks
  ledger: CounterLedger
  layout: string
  /** Empties the store of counters, before everything is counted again: sums that outlive their records would be added twice. */
  clear: () => Promise<void>
  /** Highest durable position of the journal, asked now. */
  head: () => Promise<number>
  /** Counts everything recorded from this position on; repeats are no-ops. Returns how many events. `onProgress` hears up to where all are counted, and throws when it is to end. */
  fill: (fromSeq: number, onProgress: (upTo: number) => void) => Promise<number>
  newGeneration: () => string
  everyMs: number
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}

export interface CounterKeeper {
  stop(): Promise<void>
}

/**
 * Keeps shared counters whole; one process at a time is meant to, and a second one does no harm. Where something is missing,
 * everything after the last certain position is counted again while scoring goes on; afterwards the counters are those they
 * would have been, because what is counted twice counts once and the order of counting does not matter.
 *
 * An event is counted before it is recorded, so a loss can fall in between. Then it names a generation that is over, and
 * whoever records it notes that it is missing (`Standing.missingFrom`). Hence the order of steps in `refill`.
 */
export function keepCounters({ marks, ledger, layout, clear, head, fill, newGeneration, everyMs, sleep, log }: KeeperOptions): CounterKeeper {
  const ending = new AbortController()
  /** How far the last filling got: one that was cut short by the store goes on from there, as long as nothing is lost. */
  let progress: { since: Standing; upTo: number } | undefined

  async function refill(standing: Standing | undefined, found: FoundMarks, { from, lost, why }: Doubt): Promise<void> {
    log.warn({ from, why }, 'counters are filled again; decisions are marked degraded until it is done')
    const goesOn = progress && standing && isSame(progress.since, standing)
    const anew = lost || (from === 1 && !goesOn)
    const generation = standing && !anew ? standing.generation : newGeneration()
    // Marked before the ledger tells anybody of the generation: a loss after the first event of it takes its marks along.
    if (anew && !await begin(found, markOf(generation, from - 1), from)) return
    // Until it is done only what was certain is: a keeper that dies in the middle leaves the next one the same work.
    const unfinished: Standing = { generation, ready: false, runs: found.runs, watermark: Math.min(from - 1, standing?.watermark ?? 0) }
    if (!await ledger.save(layout, unfinished, standing)) return
    // Asked after the ledger was changed: later records are compared with it.
    const watermark = await head()
    if (!progress || !isSame(progress.since, unfinished)) progress = { since: unfinished, upTo: from - 1 }
    const filling = progress
    const events = await fill(filling.upTo + 1, (upTo) => {
      ending.signal.throwIfAborted()
      filling.upTo = upTo
    })
    progress = undefined
    if (await settle(unfinished, watermark)) log.info({ events, from, watermark }, 'counters are whole again')
  }

  /** Whatever is there may be marked anew only when all is counted again; else it must be what `from` was read off. */
  async function begin(found: FoundMarks, mark: string, from: number): Promise<boolean> {
    if (from > 1) return marks.move(found.marks, mark)
    // Before the mark: what is counted from it on stays.
    await clear()
    await marks.write(mark)
    return true
  }

  /** First the marks, then the ledger: a store that is lost in between is behind what the ledger says, never ahead. False when it has to be looked at again. */
  async function settle(standing: Standing, watermark: number): Promise<boolean> {
    const found = await marks.read()
    if (doubtOf(standing, found)?.lost === true || !await marks.move(found.marks, markOf(standing.generation, watermark))) return false
    // A server started anew just now may have taken the mark without what was counted before it.
    if ((await marks.read()).runs !== standing.runs) return false
    return ledger.save(layout, { ...standing, ready: true, watermark }, standing)
  }

  async function look(): Promise<void> {
    // In this order: what is recorded up to here was compared with the ledger as it is read next.
    const watermark = await head()
    const standing = await ledger.load(layout)
    const found = await marks.read()
    const doubt = doubtOf(standing, found)
    if (doubt) await refill(standing, found, doubt)
    else if (standing && watermark > standing.watermark) await settle(standing, watermark)
  }

  async function run(): Promise<void> {
    while (!ending.signal.aborted) {
      await look().catch((fault: unknown) => {
        if (!ending.signal.aborted) log.warn({ error: fault instanceof Error ? fault.message : 'unknown fault' }, 'the counters cannot be looked after; this is tried again')
      })
      await sleep(everyMs, ending.signal).catch(() => undefined)
    }
  }

  const running = run()
  return {
    async stop() {
      ending.abort()
      await running
    },
  }
}

const isSame = (a: Standing, b: Standing): boolean => a.generation === b.generation && a.runs === b.runs && a.watermark === b.watermark
