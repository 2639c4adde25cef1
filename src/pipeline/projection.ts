import type { Recorded } from '../ports/history-store.js'
import type { Journal, PositionStore } from '../ports/journal.js'

export interface ProjectionOptions {
  /** Names the position file; never change it. */
  name: string
  journal: Pick<Journal, 'read'>
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
  readonly failing: boolean
  /** Finishes the batch in hand. With `drain`, everything up to `upTo()` first. */
  stop(options?: { drain?: boolean }): Promise<void>
}

/**
 * Carries the journal to another store, in order, from where it left off. The range in hand is written down before it is
 * applied, so that after a crash the very same range comes again under the same token: with a store that drops repeated
 * tokens nothing is lost and nothing doubled. A store that is away only makes it wait; the journal is the spool.
 */
export async function startProjection(options: ProjectionOptions): Promise<Projection> {
  const { name, journal, positions, upTo, apply, maxBatch, lingerMs, backOff, onRetry, sleep } = options
  let position = await positions.load(name)
  let failing = false
  let stopping = false
  let draining = false

  async function step(): Promise<boolean> {
    const from = position.done + 1
    const to = Math.min(position.intent?.to ?? position.done + maxBatch, upTo())
    if (to < (position.intent?.to ?? from)) return false
    position = { done: position.done, intent: { from, to } }
    await positions.save(name, position)
    const records: Recorded[] = []
    for await (const chunk of journal.read(from, to)) records.push(...chunk)
    await apply(records, `${name}:${from}-${to}`)
    position = { done: to }
    await positions.save(name, position)
    return to - from + 1 === maxBatch
  }

  async function run(): Promise<void> {
    for (let attempt = 0; !stopping || (draining && position.done < upTo() && attempt < 3);) {
      try {
        const full = await step()
        failing = false
        attempt = 0
        if (!full && !stopping) await sleep(lingerMs)
      } catch (fault) {
        failing = true
        onRetry(fault, ++attempt)
        await backOff(attempt)
      }
    }
  }

  const running = run()
  return {
    get done() { return position.done },
    get failing() { return failing },
    async stop({ drain = false } = {}) {
      draining = drain
      stopping = true
      await running
    },
  }
}
