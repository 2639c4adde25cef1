import {
  compareTo, lengthAt, locate, Spill, timeOf, verbAt, verbOf, type LogLayout, type PackedLog, type PackedRecord,
} from '../../domain/packed-log.js'

/** The record in hand, as words: so that logs are only ever compared with typed arrays. */
const record = new Uint32Array(256)

/** Takes a record in hand; returns its length in words. */
function hold(words: ArrayLike<number>, at: number, length: number): number {
  for (let i = 0; i < length; i++) record[i] = words[at + i] ?? 0
  return length
}

/**
 * One entity's log in hand, folded from what Redis keeps. It changes by the same rules as a log in memory (put again
 * replaces, a full verb lets its oldest go, what was let go is summed); the contract suite holds the two together.
 */
export class LiveLog implements PackedLog {
  /** What a full log let go, by verb. */
  spills: Map<number, Spill> | undefined = undefined
  /** Event time of the last operation before a base took its place, epoch ms; -Infinity after that. */
  lastMs = -Infinity
  /** While records come in order: where the last one stands, and how many of its verb there are. -1: not known. */
  private lastAt = -1
  private ofLast = 0

  /** Words `from` to `to` are the log; up to `limit` they are its own. */
  constructor(
    private readonly kind: number, private readonly layout: LogLayout, public words: Uint32Array, public from: number, public to: number, private limit: number,
  ) {}

  get used(): number { return this.to - this.from }
  setSpill(verb: number, spill: Spill): void { (this.spills ??= new Map<number, Spill>()).set(verb, spill) }

  /** `was`: the flags of the record that this one corrects, should it have been let go meanwhile. */
  put(put: PackedRecord, was: number | undefined): void { this.putHeld(hold(put, 0, put.length), was) }
  drop(drop: PackedRecord): void { hold(drop, 0, drop.length); this.dropHeld() }

  /** The same, of a record that stands in the words behind the log. */
  putBehind(at: number, length: number, was: number | undefined): void { this.putHeld(hold(this.words, at, length), was) }
  dropBehind(at: number, length: number): void { hold(this.words, at, length); this.dropHeld() }

  private putHeld(length: number, was: number | undefined): void {
    this.lastMs = timeOf(record)
    if (this.isNext()) { this.insert(this.to, length); return }
    this.lastAt = -1
    const place = locate(this.words, this.from, this.to, record)
    if (place.found) {
      this.cut(place.at)
      this.insert(place.at, length)
    } else if (was !== undefined && this.correctSpill(was)) return
    else if (place.ofVerb < this.layout.cap(this.kind, verbOf(record))) this.insert(place.at, length)
    // Full: the oldest goes, which may be the newcomer itself.
    else if (place.at === place.firstOfVerb) this.addSpill(record, 0)
    else {
      const oldest = lengthAt(this.words, place.firstOfVerb)
      this.addSpill(this.words, place.firstOfVerb)
      this.cut(place.firstOfVerb)
      this.insert(place.at - oldest, length)
    }
  }

  /** True, and reckoned with, when the record in hand comes after all others and none has to go for it. */
  private isNext(): boolean {
    const verb = verbOf(record)
    if (this.to === this.from) {
      if (this.spills) return false
      this.ofLast = 0
    } else {
      if (this.lastAt < 0) return false
      const last = verbAt(this.words, this.lastAt)
      if (verb < last) return false
      if (verb > last) this.ofLast = 0
      else if (compareTo(this.words, this.lastAt, record) >= 0 || this.ofLast >= this.layout.cap(this.kind, verb)) return false
    }
    this.lastAt = this.to
    this.ofLast++
    return true
  }

  private dropHeld(): void {
    this.lastMs = timeOf(record)
    this.lastAt = -1
    const { at, found } = locate(this.words, this.from, this.to, record)
    if (!found) this.correctSpill(undefined)
    else {
      this.cut(at)
      // As in memory, where nothing is left of an entity without records.
      if (this.used === 0) this.spills = undefined
    }
  }

  /** Puts the record in hand in at `at`. */
  private insert(at: number, length: number): void {
    if (this.to + length > this.limit) at = this.move(at, length)
    const { words } = this
    if (at < this.to) words.copyWithin(at + length, at, this.to)
    for (let i = 0; i < length; i++) words[at + i] = record[i] ?? 0
    this.to += length
  }

  /** To words of its own, twice as many as it needs. Returns where `at` is then. */
  private move(at: number, length: number): number {
    const larger = new Uint32Array((this.used + length) * 2)
    larger.set(this.words.subarray(this.from, this.to))
    const by = this.from
    this.words = larger
    this.to -= by
    this.from = 0
    this.limit = larger.length
    if (this.lastAt >= 0) this.lastAt -= by
    return at - by
  }

  private cut(at: number): void {
    const length = lengthAt(this.words, at)
    this.words.copyWithin(at, at + length, this.to)
    this.to -= length
  }

  private addSpill(words: Uint32Array, at: number): void {
    const verb = verbAt(words, at)
    let spill = this.spills?.get(verb)
    if (!spill) this.setSpill(verb, (spill = new Spill(this.layout.rings(this.kind, verb))))
    spill.add(words, at, 1)
  }

  /** Takes the record in hand back if it was let go, and counts it with its new flags if it `was` another. False: it was not let go. */
  private correctSpill(was: number | undefined): boolean {
    const spill = this.spills?.get(verbOf(record))
    if (!spill || timeOf(record) > spill.newestMs) return false
    const head = record[0] ?? 0
    if (was !== undefined) record[0] = ((head & 0xffff) | (was << 16)) >>> 0
    spill.add(record, 0, -1)
    record[0] = head
    if (was !== undefined) spill.add(record, 0, 1)
    return true
  }
}
