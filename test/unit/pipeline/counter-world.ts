import { keepCounters, type CounterKeeper } from '../../../src/pipeline/counter-keeper.js'
import { doubtOf } from '../../../src/pipeline/counter-watch.js'
import type { CounterLedger, CounterMarks, Standing } from '../../../src/ports/counter-standing.js'

/** One server of the store: the records counted on it, its mark, and what names its run. */
interface Part { counted: Set<number>; mark: string | undefined; run: number }

/**
 * Counters over several servers, a journal and a ledger, in the least code that behaves like the real ones: each call takes
 * `pause` before and after it takes effect, server by server. Record `seq` is counted on server `seq % parts`.
 */
export class CounterWorld {
  readonly parts: Part[]
  readonly journal: { seq: number }[] = []
  standing: Standing | undefined
  /** While set, every call to the store rejects. */
  away = false
  readonly said: string[] = []
  /** From where each filling began. */
  readonly filledFrom: number[] = []
  /** Called after each step that changed anything. */
  onStep = (): void => undefined
  private runs = 0
  private generations = 0

  constructor(parts: number, readonly pause: () => Promise<void> = () => Promise.resolve()) {
    this.parts = Array.from({ length: parts }, () => ({ counted: new Set<number>(), mark: undefined, run: ++this.runs }))
  }

  private async step<T>(effect: () => T): Promise<T> {
    await this.pause()
    const result = effect()
    this.onStep()
    await this.pause()
    return result
  }
  private reach(): void { if (this.away) throw new Error('the store is away') }
  private partOf(seq: number): Part { return this.parts[seq % this.parts.length] ?? this.fail() }
  private fail(): never { throw new Error('no such part') }

  readonly marks: CounterMarks = {
    read: async () => {
      const [marks, runs] = await Promise.all([
        Promise.all(this.parts.map((part) => this.step(() => { this.reach(); return part.mark }))),
        Promise.all(this.parts.map((part) => this.step(() => { this.reach(); return part.run }))),
      ])
      return { marks, runs: runs.join(' ') }
    },
    write: async (mark) => { await Promise.all(this.parts.map((part) => this.step(() => { this.reach(); part.mark = mark }))) },
    move: async (from, to) => {
      const moved = await Promise.all(this.parts.map((part, i) => this.step(() => {
        this.reach()
        if (part.mark === undefined || (part.mark !== from[i] && part.mark !== to)) return false
        part.mark = to
        return true
      })))
      return moved.every(Boolean)
    },
  }

  readonly ledger: CounterLedger = {
    load: () => this.step(() => this.standing && { ...this.standing }),
    save: (_layout, next, before) => this.step(() => {
      const present = this.standing
      const isThere = before ? present?.generation === before.generation && present.ready === before.ready && present.runs === before.runs && present.watermark === before.watermark : !present
      if (!isThere) return false
      const { generation, ready, runs, watermark } = next
      this.standing = { generation, ready, runs, watermark, ...(ready && present?.missingFrom !== undefined ? { missingFrom: present.missingFrom } : {}) }
      return true
    }),
  }

  /** Counts the record that will be or was given `seq`. */
  count(seq: number): Promise<void> { return this.step(() => { this.reach(); this.partOf(seq).counted.add(seq) }) }

  /** Records the next event, as counted in `generation` (undefined: it was not). */
  record(seq: number, generation: string | undefined): Promise<void> {
    return this.step(() => {
      this.journal.push({ seq })
      const position = this.journal.length
      if (this.standing && this.standing.generation !== generation) this.standing.missingFrom ??= position
    })
  }

  /** An event from its door to its record, all at once. */
  async take(): Promise<void> {
    const seq = this.journal.length + 1, generation = this.standing?.generation
    await this.count(seq)
    await this.record(seq, generation)
  }

  async fill(fromSeq: number, onProgress: (upTo: number) => void): Promise<number> {
    this.filledFrom.push(fromSeq)
    const upTo = this.journal.length
    for (let position = fromSeq; position <= upTo; position++) {
      await this.count(this.journal[position - 1]?.seq ?? 0)
      onProgress(position)
    }
    return Math.max(0, upTo - fromSeq + 1)
  }

  keep(changes: Partial<Parameters<typeof keepCounters>[0]> = {}): CounterKeeper {
    const say = (_fields: object, message: string): void => { this.said.push(message) }
    return keepCounters({
      marks: this.marks, ledger: this.ledger, layout: 'l', clear: () => this.step(() => { for (const part of this.parts) part.counted.clear() }), head: () => this.step(() => this.journal.length), fill: (from, onProgress) => this.fill(from, onProgress),
      newGeneration: () => `g${++this.generations}`, everyMs: 1, sleep: async () => { await new Promise(setImmediate) }, log: { info: say, warn: say }, ...changes,
    })
  }

  /** What a process would say that looked at everything in one moment. */
  get whole(): boolean { return doubtOf(this.standing, { marks: this.parts.map((part) => part.mark), runs: this.parts.map((part) => part.run).join(' ') }) === undefined }

  /** Positions of records whose event the counters lack. */
  get lacking(): number[] { return this.journal.flatMap(({ seq }, i) => (this.partOf(seq).counted.has(seq) ? [] : [i + 1])) }

  wipe(part: number): void {
    const emptied = this.parts[part] ?? this.fail()
    emptied.counted.clear()
    emptied.mark = undefined
    this.onStep()
  }

  copy(part: number): Part {
    const { counted, mark, run } = this.parts[part] ?? this.fail()
    return { counted: new Set(counted), mark, run }
  }

  /** Starts a server with what an earlier copy had; by default, with all that it has now. */
  restart(part: number, copy = this.copy(part)): void {
    this.parts[part] = { counted: new Set(copy.counted), mark: copy.mark, run: ++this.runs }
    this.onStep()
  }

  /** Until a look from outside finds the counters whole. */
  async untilWhole(): Promise<void> {
    for (let turns = 0; !this.whole; turns++) {
      if (turns > 5_000) throw new Error('the counters never became whole')
      await new Promise(setImmediate)
    }
  }
}
