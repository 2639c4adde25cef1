import type { CounterLedger, CounterMarks, FoundMarks, Standing } from '../ports/counter-standing.js'

/** A mark is `generation watermark`. */
export const markOf = (generation: string, watermark: number): string => `${generation} ${watermark}`
const generationOf = (mark: string | undefined): string | undefined => mark?.split(' ')[0]
const watermarkOf = (mark: string | undefined): number => Number(mark?.split(' ')[1] ?? 0)

/** From which record on the counters may lack something. `lost`: the store had it, and has it no more. */
export interface Doubt { from: number; lost: boolean; why: string }

/** Undefined when the counters are whole. `found` must have been read after `standing`: marks only ever run ahead. */
export function doubtOf(standing: Standing | undefined, found: FoundMarks): Doubt | undefined {
  if (!standing) return { from: 1, lost: true, why: 'there are no counters of this layout' }
  const { generation, ready, runs, watermark, missingFrom } = standing
  if (found.marks.some((mark) => generationOf(mark) !== generation)) return { from: 1, lost: true, why: 'the store was emptied, wholly or in part' }
  const lowest = Math.min(...found.marks.map(watermarkOf))
  if (lowest < watermark) return { from: lowest + 1, lost: true, why: 'the store is behind: it was put back to an earlier state' }
  if (runs !== found.runs) return { from: watermark + 1, lost: true, why: 'a server of the store was started anew' }
  if (!ready) return { from: watermark + 1, lost: false, why: 'a filling was asked for, or did not get to its end' }
  return missingFrom === undefined ? undefined : { from: missingFrom, lost: false, why: 'events could not be counted when they came' }
}

export interface WatchOptions {
  marks: Pick<CounterMarks, 'read'>
  ledger: Pick<CounterLedger, 'load'>
  layout: string
  everyMs: number
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface CounterWatch {
  /** False from the moment something may be missing in the counters until somebody has filled them again. */
  readonly whole: boolean
  /** What was counted into when it was looked last: to be asked before an event is counted, and recorded with it. */
  readonly generation: string | undefined
  /** Something went wrong with the store: not whole until it was looked at again. */
  suspect(): void
  stop(): Promise<void>
}

/**
 * Looks at the counters several times a second. A store that was emptied, started anew or put back from a copy is noticed
 * here, in every process by itself: what was decided on it until then is all that ever rests on such counters.
 */
export async function watchCounters({ marks, ledger, layout, everyMs, sleep }: WatchOptions): Promise<CounterWatch> {
  const ending = new AbortController()
  let whole = false
  let generation: string | undefined
  let suspicions = 0

  async function look(): Promise<void> {
    const before = suspicions
    try {
      const standing = await ledger.load(layout)
      generation = standing?.generation
      const doubt = doubtOf(standing, await marks.read())
      whole = !doubt && before === suspicions
    } catch {
      whole = false
    }
  }

  async function run(): Promise<void> {
    while (!ending.signal.aborted) {
      await sleep(everyMs, ending.signal).catch(() => undefined)
      await look()
    }
  }

  await look()
  const running = run()
  return {
    get whole() { return whole },
    get generation() { return generation },
    suspect() {
      suspicions++
      whole = false
    },
    async stop() {
      ending.abort()
      await running
    },
  }
}
