import {
  EMPTY_LOG, lengthAt, locate, timeAt, flagsAt, verbAt, wordAt, Spill,
  type Exchange, type LogLayout, type LogWrite, type PackedLog, type PackedRecord,
} from '../../domain/packed-log.js'
import type { VelocityStore } from '../../ports/velocity-store.js'
import { BLOCK_HEAD, LogArena } from './log-arena.js'

/** Entities looked at per event for whether they may be forgotten. */
const SWEEP_STEP = 4
/** Sixteen looks when memory is full: the least recent of them goes. */
const EVICT_SAMPLE = 16

export interface MemoryVelocityOptions {
  layout: LogLayout
  /** Beyond this, entities are dropped before their time and `incomplete` becomes true. */
  maxBytes?: number
}

/** What a snapshot holds besides its pages. */
export interface SnapshotHead { version: string; filled: number; newestMs: number; incomplete: boolean; spills: [string, unknown][] }

/**
 * Velocity in this process: an open-addressing index over an arena of packed logs. A conversation runs straight through, so
 * each event is one atomic step.
 */
export class MemoryVelocityStore implements VelocityStore {
  private arena = new LogArena()
  /** Block addresses; 0 is empty, TOMBSTONE was one. */
  private index = new Uint32Array(1 << 16)
  private entries = 0
  private used = 0
  private sweepAt = 0
  private newestMs = 0
  private spills = new Map<string, Map<number, Spill>>()
  private dropped = false
  private readonly layout: LogLayout
  private readonly maxBytes: number

  constructor({ layout, maxBytes = 4 * 2 ** 30 }: MemoryVelocityOptions) {
    this.layout = layout
    this.maxBytes = maxBytes
  }

  get incomplete(): boolean { return this.dropped }
  /** Figures for metrics and the bench. */
  get size(): { entities: number; bytes: number } { return { entities: this.entries, bytes: this.arena.bytes + this.index.byteLength } }

  run<T>(exchange: Exchange<T>): T {
    let step = exchange.next()
    while (step.done !== true) step = exchange.next(this.trip(step.value))
    this.sweep()
    return step.value
  }

  private trip(writes: readonly LogWrite[]): PackedLog[] {
    for (const write of writes) {
      if (write.put) this.put(write, write.put)
      else if (write.drop) this.drop(write, write.drop)
    }
    return writes.map((write) => this.read(write))
  }

  private read({ kind, hi, lo }: LogWrite): PackedLog {
    const address = this.find(kind, hi, lo)
    if (address === 0) return EMPTY_LOG
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    return { words, from, to: from + wordAt(words, from - 1), spills: this.spills.size === 0 ? undefined : this.spills.get(spillKey(kind, hi, lo)) }
  }

  private put(key: LogWrite, record: PackedRecord): void {
    const { kind, hi, lo } = key
    const time = timeAt(record, 0)
    if (time > this.newestMs) this.newestMs = time
    let address = this.find(kind, hi, lo) || this.insertEntity(kind, hi, lo, record.length)
    let words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    let used = wordAt(words, from - 1)
    const place = locate(words, from, from + used, record)
    this.arena.touch(address)
    if (place.found) {
      words.set(record, place.at)
      return
    }
    const verb = verbAt(record, 0)
    if (place.ofVerb >= this.layout.cap(kind, verb)) {
      // Full: the oldest goes, which may be the newcomer itself.
      if (place.at === place.firstOfVerb) {
        if (key.was !== undefined) this.spill(key, withFlags(record, key.was), 0, -1)
        this.spill(key, record, 0, 1)
        return
      }
      const length = lengthAt(words, place.firstOfVerb)
      this.spill(key, words, place.firstOfVerb, 1)
      words.copyWithin(place.firstOfVerb, place.firstOfVerb + length, from + used)
      used -= length
      place.at -= length
    }
    if (used + record.length > this.arena.capacity(address)) {
      const before = from
      address = this.grow(address, kind, hi, lo, used, used + record.length)
      words = this.arena.page(address)
      from = this.arena.offset(address) + BLOCK_HEAD
      place.at += from - before
    }
    words.copyWithin(place.at + record.length, place.at, from + used)
    words.set(record, place.at)
    words[from - 1] = used + record.length
  }

  private drop(key: LogWrite, record: PackedRecord): void {
    const { kind, hi, lo } = key
    const address = this.find(kind, hi, lo)
    if (address === 0) return
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const used = wordAt(words, from - 1)
    const { at, found } = locate(words, from, from + used, record)
    if (!found) { this.spill(key, record, 0, -1); return }
    this.arena.touch(address)
    const length = lengthAt(words, at)
    words.copyWithin(at, at + length, from + used)
    words[from - 1] = used - length
    if (used === length) this.remove(address, kind, hi, lo)
  }

  private spill(key: LogWrite, words: ArrayLike<number>, at: number, sign: 1 | -1): void {
    const verb = verbAt(words, at)
    const windowsMs = this.layout.spillWindowsMs(key.kind, verb)
    if (windowsMs.length === 0) return
    const name = spillKey(key.kind, key.hi, key.lo)
    let byVerb = this.spills.get(name)
    if (!byVerb) {
      if (sign === -1) return
      this.spills.set(name, (byVerb = new Map<number, Spill>()))
    }
    let spill = byVerb.get(verb)
    if (!spill) {
      if (sign === -1) return
      byVerb.set(verb, (spill = new Spill(windowsMs)))
    }
    const fee = this.layout.feeColumn(key.kind, verb)
    spill.add(timeAt(words, at), flagsAt(words, at), fee === 0 ? 0 : wordAt(words, at + fee), sign)
  }

  private grow(address: number, kind: number, hi: number, lo: number, used: number, wanted: number): number {
    const bigger = this.arena.allocate(kind, hi, lo, wanted)
    const source = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const target = this.arena.page(bigger), to = this.arena.offset(bigger) + BLOCK_HEAD
    target.set(source.subarray(from, from + used), to)
    target[to - 1] = used
    this.index[this.slotOf(kind, hi, lo)] = bigger
    this.arena.release(address)
    return bigger
  }

  // ---- the index

  private slotOf(kind: number, hi: number, lo: number): number {
    const mask = this.index.length - 1
    let slot = (lo ^ Math.imul(hi, 0x9e3779b1) ^ Math.imul(kind + 1, 0x85ebca6b)) & mask
    for (;; slot = (slot + 1) & mask) {
      const address = this.index[slot] ?? 0
      if (address === 0) return slot
      if (address === TOMBSTONE) continue
      const page = this.arena.page(address), at = this.arena.offset(address)
      if (page[at + 2] === lo && page[at + 1] === hi && ((wordAt(page, at) >>> 8) & 0xff) === kind) return slot
    }
  }

  private find(kind: number, hi: number, lo: number): number { return this.index[this.slotOf(kind, hi, lo)] ?? 0 }

  private insertEntity(kind: number, hi: number, lo: number, words: number): number {
    if ((this.used + 1) * 10 > this.index.length * 6) this.rehash()
    for (let i = 0; i < EVICT_SAMPLE && this.arena.bytes > this.maxBytes && !this.arena.hasFree(words); i++) this.evict()
    const address = this.arena.allocate(kind, hi, lo, words)
    this.index[this.slotOf(kind, hi, lo)] = address
    this.entries++
    this.used++
    return address
  }

  private remove(address: number, kind: number, hi: number, lo: number): void {
    this.index[this.slotOf(kind, hi, lo)] = TOMBSTONE
    this.arena.release(address)
    this.spills.delete(spillKey(kind, hi, lo))
    this.entries--
  }

  private rehash(): void {
    const old = this.index
    this.index = new Uint32Array(this.entries * 4 > old.length ? old.length * 2 : old.length)
    this.used = this.entries
    for (const address of old) if (address !== 0 && address !== TOMBSTONE) this.place(address)
  }

  private place(address: number): void {
    const page = this.arena.page(address), at = this.arena.offset(address)
    this.index[this.slotOf((wordAt(page, at) >>> 8) & 0xff, wordAt(page, at + 1), wordAt(page, at + 2))] = address
  }

  // ---- forgetting

  private newestOf(address: number): number {
    const words = this.arena.page(address), from = this.arena.offset(address) + BLOCK_HEAD
    const to = from + wordAt(words, from - 1)
    let newest = 0
    for (let at = from; at < to; at += lengthAt(words, at)) newest = Math.max(newest, timeAt(words, at))
    return newest
  }

  private forget(address: number): void {
    const page = this.arena.page(address), at = this.arena.offset(address)
    this.remove(address, (wordAt(page, at) >>> 8) & 0xff, wordAt(page, at + 1), wordAt(page, at + 2))
  }

  /** A few looks per event: whatever is past the horizon goes, so memory follows the traffic of the last months. */
  private sweep(): void {
    for (let i = 0; i < SWEEP_STEP; i++) {
      this.sweepAt = (this.sweepAt + 1) & (this.index.length - 1)
      const address = this.index[this.sweepAt] ?? 0
      if (address !== 0 && address !== TOMBSTONE && this.newestOf(address) < this.newestMs - this.layout.horizonMs) this.forget(address)
    }
  }

  private evict(): void {
    let oldest = 0, oldestMs = Infinity
    for (let seen = 0, looked = 0; seen < EVICT_SAMPLE && looked < this.index.length; looked++) {
      this.sweepAt = (this.sweepAt + 1) & (this.index.length - 1)
      const address = this.index[this.sweepAt] ?? 0
      if (address === 0 || address === TOMBSTONE) continue
      seen++
      const newest = this.newestOf(address)
      if (newest < oldestMs) { oldest = address; oldestMs = newest }
    }
    if (oldest === 0) return
    this.dropped = true
    this.forget(oldest)
  }

  // ---- snapshots

  /** Head and pages as they are now; the pages may be taken slowly while events go on. */
  snapshot(): { head: SnapshotHead; pages: Generator<Uint32Array, void> } {
    const head: SnapshotHead = {
      version: this.layout.version, filled: this.arena.filled, newestMs: this.newestMs, incomplete: this.dropped,
      spills: [...this.spills].map(([name, byVerb]) => [name, [...byVerb].map(([verb, spill]) => [verb, spill.toJSON()])]),
    }
    return { head, pages: this.arena.snapshot() }
  }

  /** Takes a snapshot over. Returns false, changing nothing, when it was made for another layout. */
  restore(head: SnapshotHead, pages: Uint32Array[]): boolean {
    if (head.version !== this.layout.version) return false
    this.arena = LogArena.load(pages, head.filled)
    this.newestMs = head.newestMs
    this.dropped = head.incomplete
    this.spills = new Map(head.spills.map(([name, byVerb]) => [name, new Map((byVerb as [number, Parameters<typeof Spill.fromJSON>[0]][]).map(([v, s]) => [v, Spill.fromJSON(s)]))]))
    const addresses = [...this.arena.blocks()].map((b) => b.address)
    this.entries = this.used = addresses.length
    let size = 1 << 16
    while (size * 6 < addresses.length * 2 * 10) size *= 2
    this.index = new Uint32Array(size)
    for (const address of addresses) this.place(address)
    return true
  }
}

const TOMBSTONE = 0xffffffff
const withFlags = (record: PackedRecord, flags: number): PackedRecord => [((record[0] ?? 0) & 0xffff | (flags << 16)) >>> 0, ...record.slice(1)]
const spillKey = (kind: number, hi: number, lo: number): string => `${kind}:${hi}:${lo}`
