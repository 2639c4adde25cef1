import { hash64 } from '../../domain/hash.js'

/** The table is cut into this many by hash, so that growing never stops the process for long. */
const SHELVES = 64
const SHELF_BITS = 6
const FIRST_SLOTS = 1 << 8

/** Open addressing; 0 is an empty slot. */
interface Shelf { table: Uint32Array; used: number }

/**
 * Which journal position an event id stands at: tables of positions over one array of 64-bit id hashes. 16 bytes and a half
 * per event, so that months of ids fit in memory and no repeat needs a look at the disk.
 */
export class IdIndex {
  /** Two words per position, from `base`; low word 0: nothing is known of that position. */
  private hashes = new Uint32Array(1 << 12)
  private base = 1
  private readonly shelves: Shelf[] = Array.from({ length: SHELVES }, () => ({ table: new Uint32Array(FIRST_SLOTS), used: 0 }))

  /** Position of the newest event with this id hash; 0 when there is none. */
  find(eventId: string): number {
    const { hi, lo } = hash64(eventId)
    const { table } = this.shelfOf(hi)
    return table[this.slotOf(table, hi, lo)] ?? 0
  }

  add(seq: number, eventId: string): void {
    const { hi, lo } = hash64(eventId)
    this.addHash(seq, hi, lo)
  }

  addHash(seq: number, hi: number, lo: number): void {
    const at = (seq - this.base) * 2
    if (at < 0) throw new RangeError(`position ${seq} was forgotten`)
    if (at + 2 > this.hashes.length) this.hashes = grown(this.hashes, at + 2)
    this.hashes[at] = hi
    this.hashes[at + 1] = lo
    const shelf = this.shelfOf(hi)
    const slot = this.slotOf(shelf.table, hi, lo)
    if (shelf.table[slot] === 0) shelf.used++
    shelf.table[slot] = seq
    if (shelf.used * 10 > shelf.table.length * 6) this.rehash(shelf)
  }

  hashOf(seq: number): { hi: number; lo: number } {
    const at = (seq - this.base) * 2
    return { hi: this.hashes[at] ?? 0, lo: this.hashes[at + 1] ?? 0 }
  }

  /** Starts with position `seq` instead of 1, for a journal whose first ids are gone. Only while empty. */
  startAt(seq: number): void { this.base = seq }

  /** Forgets the ids of positions below `seq`. Their slots are freed as the tables grow. */
  forget(seq: number): void {
    if (seq <= this.base) return
    this.hashes = this.hashes.slice((seq - this.base) * 2)
    this.base = seq
  }

  private shelfOf(hi: number): Shelf {
    const shelf = this.shelves[hi >>> (32 - SHELF_BITS)]
    if (!shelf) throw new RangeError(`no shelf for hash ${hi}`)
    return shelf
  }

  /** Where this hash stands, or the empty slot it would take. Positions that were forgotten match nothing. */
  private slotOf(table: Uint32Array, hi: number, lo: number): number {
    const mask = table.length - 1
    for (let slot = (lo ^ Math.imul(hi, 0x9e3779b1)) & mask; ; slot = (slot + 1) & mask) {
      const seq = table[slot] ?? 0
      if (seq === 0) return slot
      const at = (seq - this.base) * 2
      if (at >= 0 && this.hashes[at + 1] === lo && this.hashes[at] === hi) return slot
    }
  }

  private rehash(shelf: Shelf): void {
    const known = shelf.table.filter((seq) => seq >= this.base)
    let slots = FIRST_SLOTS
    while (known.length * 4 > slots) slots *= 2
    const table = (shelf.table = new Uint32Array(slots))
    shelf.used = known.length
    for (const seq of known) {
      const { hi, lo } = this.hashOf(seq)
      table[this.slotOf(table, hi, lo)] = seq
    }
  }
}

function grown(array: Uint32Array, needed: number): Uint32Array<ArrayBuffer> {
  const bigger = new Uint32Array(Math.max(needed, array.length * 2))
  bigger.set(array)
  return bigger
}
