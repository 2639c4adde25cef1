/**
 * Whether shared counters are whole. The store that counts (Redis) carries marks in each of its parts; the store that
 * nothing is lost from (PostgreSQL) says what the marks must be. Where the two differ, something was lost.
 */
export interface CounterMarks {
  /** `marks`: of every part of the store, undefined where there is none. `runs`: changes when any server is started anew. Rejects when some server does not answer. */
  read(): Promise<FoundMarks>
  /** Puts this mark into every part, whatever is there. */
  write(mark: string): Promise<void>
  /** Puts this mark into every part that still has what was read; false when some part has not (others may have moved). Never brings a lost mark back. */
  move(from: FoundMarks['marks'], to: string): Promise<boolean>
}

export interface FoundMarks { marks: readonly (string | undefined)[]; runs: string }

/** What is known for sure of the counters of one layout. */
export interface Standing {
  /** Named anew whenever something was lost; the first part of every mark. Every record says which one its event was counted in. */
  generation: string
  /** False while they are being filled. */
  ready: boolean
  /** Of `CounterMarks.read` when they were last whole. */
  runs: string
  /** Every record up to this position of the journal was counted. */
  watermark: number
  /** The first record after it whose event was not counted in this generation when it was recorded; there may be more. Whoever records notes it. */
  missingFrom?: number
}

export interface CounterLedger {
  load(layout: string): Promise<Standing | undefined>
  /**
   * Puts `next` in the place of `before` (undefined: of nothing); false, changing nothing, when something else is there now.
   * `missingFrom` is not taken from `next`: one that is not ready clears it, for all after its watermark is counted again.
   * Whatever is recorded after this settled was compared with `next`.
   */
  save(layout: string, next: Standing, before: Standing | undefined): Promise<boolean>
}
