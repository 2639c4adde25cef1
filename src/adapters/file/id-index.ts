import { hash64 } from '../../domain/hash.js'

/**
 * Which journal position an event id stands at: an open-addressing table of positions over one array of 64-bit id hashes.
 * 16 bytes and a half per event, so that months of ids fit in memory and no repeat needs a look at the disk.
 */
export class IdIndex {
  /** Two words per position, from 1; a hash of 0,0 means nothing is known of that position. */
  private hashes = new Uint32Array(1 << 12)
  private table = new Uint32Array(1 << 12)
  private last = 0

  /** Position of the newest event with this id hash; 0 when there is none. */
  find(eventId: string): number {
    const { hi, lo } = hash64(eventId)
    return this.table[this.slotOf(hi, lo)] ?? 0
  }

  add(seq: number, eventId: string): void {
    const { hi, lo } = hash64(eventId)
    this.addHash(seq, hi, lo)
  }

  addHash(seq: number, hi: number, lo: number): void {
    if (seq * 2 + 2 > this.hashes.length) this.hashes = grown(this.hashes, seq * 2 + 2)
    this.hashes[seq * 2] = hi
    this.hashes[seq * 2 + 1] = lo
    this.last = Math.max(this.last, seq)
    if (this.last * 10 > this.table.length * 6) this.rehash()
    else this.table[this.slotOf(hi, lo)] = seq
  }

  hashOf(seq: number): { hi: number; lo: number } { return { hi: this.hashes[seq * 2] ?? 0, lo: this.hashes[seq * 2 + 1] ?? 0 } }

  private slotOf(hi: number, lo: number): number {
    const mask = this.table.length - 1
    for (let slot = (lo ^ Math.imul(hi, 0x9e3779b1)) & mask; ; slot = (slot + 1) & mask) {
      const seq = this.table[slot] ?? 0
      if (seq === 0 || (this.hashes[seq * 2 + 1] === lo && this.hashes[seq * 2] === hi)) return slot
    }
  }

  private rehash(): void {
    this.table = new Uint32Array(this.table.length * 4)
    for (let seq = 1; seq <= this.last; seq++) {
      const { hi, lo } = this.hashOf(seq)
      if (lo !== 0) this.table[this.slotOf(hi, lo)] = seq
    }
  }
}

function grown(array: Uint32Array, needed: number): Uint32Array<ArrayBuffer> {
  const bigger = new Uint32Array(Math.max(needed, array.length * 2))
  bigger.set(array)
  return bigger
}
