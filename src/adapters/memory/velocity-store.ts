import {
  EMPTY_LOG, lengthAt, locate, Spill, timeAt, timeOf, verbAt, verbOf, withFlags, wordAt,
  type Exchange, type LogLayout, type LogWrite, type PackedLog, type PackedRecord, type SpillJson,
} from '../../domain/packed-log.js'
import type { VelocityStore } from '../../ports/velocity-store.js'
import { BlockIndex } from './block-index.js'
import { BLOCK_HEAD, LogArena, PAGE_BYTES } from './log-arena.js'

/** Slots of the index looked at per conversation for an entity that may be forgotten. */
const SWEEP_STEP = 4
/** When memory is full, the least recent of this many entities goes. */
const EVICT_SAMPLE = 16
/** Entities given up at most to make room for one log, before memory grows past its limit after all. */
const EVICT_MOST = 64
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export interface MemoryVelocityOptions {
  layout: LogLayout
  /** Beyond this, entities are dropped before their time and `incomplete` becomes true. */
  maxBytes?: number
}

/** What a snapshot holds besides its pages; plain JSON. `spills`: block address, then each verb with what it let go. */
export interface SnapshotHead { version: string; filled: number; clockMs: number | null; incomplete: boolean; spills: [number, [number, SpillJson][]][] }

type Key = Pick<LogWrite, 'kind' | 'hi' | 'lo'>

/**
 * Velocity in this process: an index over an arena of packed logs. A conversation runs straight through, so each event is
 * one atomic step.
 */
export class MemoryVelocityStore implements VelocityStore {
  private arena = new LogArena()
  private index = new BlockIndex(this.arena)
  /** What full logs let go: block address -> verb -> spill. These blocks are marked. */
  private spilled = new Map<number, Map<number, Spill>>()
  /** About the time of the newest events: what is a horizon older may go. */
  private clockMs = -Infinity
  private dropped = false
  /** Of the trip under way: where each write went. */
  private readonly addresses: number[] = []
  private readonly layout: LogLayout
  private readonly maxBytes: number

  constructor({ layout, maxBytes = 4 * 2 ** 30 }: MemoryVelocityOptions) {
    this.layout = layout
    this.maxBytes = maxBytes
  }

  get incomplete(): boolean { return this.dropped }
  /** Figures for metrics and the bench. */
  get size(): { entities: number; bytes: number } { return { entities: this.index.entries, bytes: this.arena.bytes + this.index.bytes } }

  run<T>(exchange: Exchange<T>): T {
    let step = exchange.next()
    while (step.done !== true) step = exchange.next(this.trip(step.value))
    this.sweep()
    return step.value
  }

  private trip(writes: readonly LogWrite[]): PackedLog[] {
    const logs: PackedLog[] = []
    const addresses = this.addresses
    let i = 0
    for (const write of writes) {
      if (write.put) addresses[i++] = this.put(write, write.put, write.was)
      else if (write.drop) addresses[i++] = this.drop(write, write.drop)
      else addresses[i++] = this.index.find(write.kind, write.hi, write.lo)
    }
    i = 0
    for (const write of writes) logs.push(this.read(write, addresses[i++] ?? 0))
    return logs
  }

  /** `hint`: where the log was when it was written; a later write of the same trip may have moved it or given it up. */
  private read({ kind, hi, lo }: Key, hint: number): PackedLog {
    const address = hint !== 0 && this.arena.holds(hint, kind, hi, lo) ? hint : this.index.find(kind, hi, lo)
    if (address === 0) return EMPTY_LOG
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    return { words, from, to: from + wordAt(words, from - 1), spills: this.arena.isMarked(address) ? this.spilled.get(address) : undefined }
  }

  /** Returns the block's address. */
  private put(key: Key, record: PackedRecord, was: number | undefined): number {
    this.advanceClock(timeOf(record))
    const verb = verbOf(record)
    const address = this.index.find(key.kind, key.hi, key.lo) || this.addEntity(key, record.length)
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const place = locate(words, from, from + wordAt(words, from - 1), record)
    if (place.found) return this.replace(address, place.at, record)
    if (was !== undefined && this.correctSpill(address, record, was)) return address
    if (place.ofVerb < this.layout.cap(key.kind, verb)) return this.insert(address, place.at - from, record)
    // Full: the oldest goes, which may be the newcomer itself.
    if (place.at === place.firstOfVerb) {
      this.addSpill(key.kind, address, Uint32Array.from(record), 0)
      return address
    }
    const length = lengthAt(words, place.firstOfVerb)
    this.addSpill(key.kind, address, words, place.firstOfVerb)
    this.cut(address, place.firstOfVerb)
    return this.insert(address, place.at - from - length, record)
  }

  /** Returns the block's address, 0 when nothing is left of it. */
  private drop(key: Key, record: PackedRecord): number {
    const address = this.index.find(key.kind, key.hi, key.lo)
    if (address === 0) return 0
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const { at, found } = locate(words, from, from + wordAt(words, from - 1), record)
    if (!found) {
      this.correctSpill(address, record, undefined)
      return address
    }
    this.cut(address, at)
    if (words[from - 1] !== 0) return address
    this.forget(address)
    return 0
  }

  // ---- words

  /** The same event once more, at this position of the page: it may say more or less than before. */
  private replace(address: number, at: number, record: PackedRecord): number {
    const words = this.arena.page(address)
    if (lengthAt(words, at) === record.length) {
      this.arena.touch(address)
      write(words, at, record)
      return address
    }
    this.cut(address, at)
    return this.insert(address, at - this.arena.offset(address) - BLOCK_HEAD, record)
  }

  /** `at`: offset in the log. Returns the block's address, which changes when the log outgrows its block. */
  private insert(address: number, at: number, record: PackedRecord): number {
    const used = wordAt(this.arena.page(address), this.arena.offset(address) + BLOCK_HEAD - 1)
    const roomy = used + record.length > this.arena.capacity(address) ? this.grow(address, used, used + record.length) : address
    this.arena.touch(roomy)
    const words = this.arena.page(roomy), from = this.arena.offset(roomy) + BLOCK_HEAD
    if (at < used) words.copyWithin(from + at + record.length, from + at, from + used)
    write(words, from + at, record)
    words[from - 1] = used + record.length
    return roomy
  }

  /** Takes out the record at this position of the page. */
  private cut(address: number, at: number): void {
    this.arena.touch(address)
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const used = wordAt(words, from - 1), length = lengthAt(words, at)
    words.copyWithin(at, at + length, from + used)
    words[from - 1] = used - length
  }

  private grow(address: number, used: number, wanted: number): number {
    this.makeRoom(wanted, address)
    const bigger = this.arena.allocate(this.arena.blockAt(address), wanted, this.isFull)
    const source = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const target = this.arena.page(bigger), to = this.arena.offset(bigger) + BLOCK_HEAD
    for (let i = 0; i < used; i++) target[to + i] = wordAt(source, from + i)
    target[to - 1] = used
    this.moveSpills(address, bigger)
    this.index.set(bigger)
    this.arena.release(address)
    return bigger
  }

  private moveSpills(from: number, to: number): void {
    const byVerb = this.arena.isMarked(from) ? this.spilled.get(from) : undefined
    if (!byVerb) return
    this.spilled.delete(from)
    this.spilled.set(to, byVerb)
    this.arena.mark(to)
  }

  private addEntity(key: Key, words: number): number {
    this.makeRoom(words, 0)
    const address = this.arena.allocate(key, words, this.isFull)
    this.index.set(address)
    return address
  }

  // ---- spills

  /** Takes a record back that was let go, and counts it with its new flags if it `was` another. False: it was not let go. */
  private correctSpill(address: number, record: PackedRecord, was: number | undefined): boolean {
    const spill = this.arena.isMarked(address) ? this.spilled.get(address)?.get(verbOf(record)) : undefined
    if (!spill || timeOf(record) > spill.newestMs) return false
    spill.add(Uint32Array.from(was === undefined ? record : withFlags(record, was)), 0, -1)
    if (was !== undefined) spill.add(Uint32Array.from(record), 0, 1)
    return true
  }

  private addSpill(kind: number, address: number, words: Uint32Array, at: number): void {
    const verb = verbAt(words, at)
    let byVerb = this.spilled.get(address)
    if (!byVerb) {
      this.spilled.set(address, (byVerb = new Map<number, Spill>()))
      this.arena.mark(address)
    }
    let spill = byVerb.get(verb)
    if (!spill) byVerb.set(verb, (spill = new Spill(this.layout.rings(kind, verb))))
    spill.add(words, at, 1)
  }

  // ---- forgetting

  /**
   * Follows the events, but no single one of them: one event dated years ahead must not make everybody forgotten.
   */
  private advanceClock(timeMs: number): void {
    const ahead = timeMs - this.clockMs
    if (ahead > 0) this.clockMs = this.clockMs === -Infinity ? timeMs : this.clockMs + Math.min(ahead, HOUR_MS)
    else this.clockMs -= -ahead > this.layout.horizonMs ? -ahead : Math.min(-ahead, MINUTE_MS)
  }

  private newestOf(address: number): number {
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const to = from + wordAt(words, from - 1)
    let newest = -Infinity
    for (let at = from; at < to; at += lengthAt(words, at)) newest = Math.max(newest, timeAt(words, at))
    return newest
  }

  private forget(address: number): void {
    const block = this.arena.blockAt(address)
    if (this.arena.isMarked(address)) this.spilled.delete(address)
    this.index.remove(block.kind, block.hi, block.lo)
    this.arena.release(address)
  }

  /** A few looks per event: whatever is past the horizon goes, so memory follows the traffic of the last months. */
  private sweep(): void {
    for (let i = 0; i < SWEEP_STEP; i++) {
      const address = this.index.next()
      if (address !== 0 && this.newestOf(address) < this.clockMs - this.layout.horizonMs) this.forget(address)
    }
  }

  /** The index takes 16 bytes per entity at most, and the smallest block is 64: a quarter on top of the pages. */
  private get isFull(): boolean { return (this.arena.bytes + PAGE_BYTES) * 1.25 > this.maxBytes }

  /** Gives up entities until a log of `words` fits into what memory there is; never the one at `keep`. */
  private makeRoom(words: number, keep: number): void {
    for (let i = 0; i < EVICT_MOST && this.isFull && !this.arena.hasRoom(words); i++) this.evict(keep)
  }

  private evict(keep: number): void {
    let oldest = 0, oldestMs = Infinity
    for (let seen = 0, looks = 0; seen < EVICT_SAMPLE && looks < 64 * EVICT_SAMPLE; looks++) {
      const address = this.index.next()
      if (address === 0 || address === keep) continue
      seen++
      const newest = this.newestOf(address)
      if (newest < oldestMs) { oldest = address; oldestMs = newest }
    }
    if (oldest === 0) return
    this.dropped = true
    this.forget(oldest)
  }

  // ---- snapshots

  /** Head and pages as they are now; the pages may be taken slowly while events go on. One snapshot at a time. */
  snapshot(): { head: SnapshotHead; pages: Generator<Uint32Array, void> } {
    const spills = [...this.spilled].map(([address, byVerb]): SnapshotHead['spills'][number] =>
      [address, [...byVerb].map(([verb, spill]): [number, SpillJson] => [verb, spill.toJSON()])])
    const head = { version: this.layout.version, filled: this.arena.filled, clockMs: this.clockMs === -Infinity ? null : this.clockMs, incomplete: this.dropped, spills }
    return { head, pages: this.arena.snapshot() }
  }

  /** Takes a snapshot over. Returns false, changing nothing, when it was made for another layout. */
  restore(head: SnapshotHead, pages: Uint32Array[]): boolean {
    if (head.version !== this.layout.version) return false
    this.arena = LogArena.load(pages, head.filled)
    this.index = new BlockIndex(this.arena)
    this.arena.eachBlock((address, inUse) => { if (inUse) this.index.set(address) })
    this.clockMs = head.clockMs ?? -Infinity
    this.dropped = head.incomplete
    this.spilled = new Map(head.spills.map(([address, saved]) => {
      const { kind } = this.arena.blockAt(address)
      return [address, new Map(saved.map(([verb, json]) => [verb, Spill.fromJSON(this.layout.rings(kind, verb), json)]))]
    }))
    return true
  }
}

/** A loop: for a dozen words it is several times as fast as `words.set`. */
function write(words: Uint32Array, at: number, record: PackedRecord): void {
  for (let i = 0; i < record.length; i++) words[at + i] = record[i] ?? 0
}
