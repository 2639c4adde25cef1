import type { Recorded } from '../domain/record.js'
import type { Journal, Position, PositionStore } from '../ports/journal.js'

export interface ProjectionOptions {
  /** Names the position file; never change it. */
  name: string
  journal: Pick<Journal, 'read' | 'firstSeq'>
  positions: PositionStore
  /** Only what is durable and enforced may go out. */
  upTo: () => number
  /** Takes effect once per `token`, or may safely be repeated. */
  apply: (records: readonly Recorded[], token: string) => Promise<void>
  maxBatch: number
  /** After a batch that was not full, wait this long for more before the next. */
  lingerMs: number
  backOff: (attempt: number) => Promise<void>
  onRetry: (fault: unknown, attempt: number) => void
  sleep: (ms: number) => Promise<void>
}

export interface Projection {
  /** Position up to which everything has taken effect. */
  readonly done: number
  /** Finishes the batch in hand. With `drain`, everything up to `upTo()` first. */
  stop(options?: { drain?: boolean }): Promise<void>
}

/** A store that is away when the process stops gets the rest after the next start. */
const DRAIN_TRIES = 3

/**
 * Carries the journal to another store, in order, from where it left off. The range in hand is written down before it is
 * applied, so that after a crash the very same range comes again under the same token: with a store that drops repeated
 * tokens nothing is lost and nothing doubled. A store that is away only makes it wait; the journal is the spool.
 */
export async function startProjection(options: ProjectionOptions): Promise<Projection> {
  const { name, journal, positions, upTo, apply, maxBatch, lingerMs, backOff, onRetry, sleep } = options
  let position = await positions.load(name)
  let stopping = false
  let draining = false

  /** One range at most. `none`: nothing may go out yet; `full`: there may well be more. */
  async function step(): Promise<'none' | 'some' | 'full'> {
    // Below firstSeq only when the position file was lost: what is retired has long been everywhere.
    const from = position.intent?.from ?? Math.max(position.done + 1, journal.firstSeq)
    const to = position.intent?.to ?? Math.min(from + maxBatch - 1, upTo())
    if (to < from || to > upTo()) return 'none'
    if (!position.intent) await remember({ done: position.done, intent: { from, to } })
    const records: Recorded[] = []
    for await (const chunk of journal.read(from, to)) records.push(...chunk)
    await apply(records, `${name}:${from}-${to}`)
    await remember({ done: to })
    return to - from + 1 >= maxBatch ? 'full' : 'some'
  }

  async function remember(next: Position): Promise<void> {
    await positions.save(name, next)
    position = next
  }

  async function run(): Promise<void> {
    for (let attempt = 0; !stopping || (draining && attempt < DRAIN_TRIES);) {
      try {
        const did = await step()
        attempt = 0
        if (did === 'none' && stopping) return
        if (did !== 'full' && !stopping) await sleep(lingerMs)
      } catch (fault) {
        onRetry(fault, ++attempt)
        await backOff(attempt)
      }
    }
  }

  const running = run()
  return {
    get done() { return position.done },
    async stop({ drain = false } = {}) {
      draining = drain
      stopping = true
      await running
    },
  }
}
