import type { LogArena } from './log-arena.js'

const SHARDS = 256
const SHARD_SHIFT = 24
const FIRST_SLOTS = 64
/** No block has this address: blocks begin at multiples of 8. */
const TOMBSTONE = 0xffffffff

/** Block addresses by open addressing; 0 is empty, TOMBSTONE was one. `taken` counts both kinds that are not 0. */
interface Shard { slots: Uint32Array; entries: number; taken: number }

const hashOf = (kind: number, hi: number, lo: number): number => Math.imul(lo ^ Math.imul(hi, 0x9e3779b1) ^ Math.imul(kind + 1, 0x85ebca6b), 0xc2b2ae35) >>> 0

/**
 * (kind, key) -> block address. The keys are in the blocks themselves. Many small tables, because a large one takes a
 * second to grow, and every booking would wait for it.
 */
export class BlockIndex {
  private readonly shards: Shard[] = Array.from({ length: SHARDS }, () => ({ slots: new Uint32Array(FIRST_SLOTS), entries: 0, taken: 0 }))
  private cursorShard = 0
  private cursorSlot = 0
  entries = 0
  bytes = SHARDS * FIRST_SLOTS * 4

  constructor(private readonly arena: LogArena) {}

  /** 0 when there is none. */
  find(kind: number, hi: number, lo: number): number {
    const hash = hashOf(kind, hi, lo), shard = this.shardOf(hash)
    return shard.slots[this.slotOf(shard, hash, kind, hi, lo)] ?? 0
  }

  /** Puts in a block, or the block that takes the place of another one of the same key. */
  set(address: number): void {
    const { kind, hi, lo } = this.arena.blockAt(address)
    const hash = hashOf(kind, hi, lo), shard = this.shardOf(hash)
    let slot = this.slotOf(shard, hash, kind, hi, lo)
    if (shard.slots[slot] === 0) {
      if ((shard.taken + 1) * 10 > shard.slots.length * 6) {
        this.rehash(shard)
        slot = this.slotOf(shard, hash, kind, hi, lo)
      }
      shard.taken++
      shard.entries++
      this.entries++
    }
    shard.slots[slot] = address
  }

  remove(kind: number, hi: number, lo: number): void {
    const hash = hashOf(kind, hi, lo), shard = this.shardOf(hash)
    const slot = this.slotOf(shard, hash, kind, hi, lo)
    if (shard.slots[slot] === 0) return
    shard.slots[slot] = TOMBSTONE
    shard.entries--
    this.entries--
  }

  /** Walks round all slots, one per call: a block's address, or 0 for a slot without. */
  next(): number {
    let shard = this.shards[this.cursorShard]
    if (!shard || this.cursorSlot >= shard.slots.length) {
      this.cursorShard = (this.cursorShard + 1) % SHARDS
      this.cursorSlot = 0
      shard = this.shards[this.cursorShard]
    }
    const address = shard?.slots[this.cursorSlot++] ?? 0
    return address === TOMBSTONE ? 0 : address
  }

  private shardOf(hash: number): Shard {
    const shard = this.shards[hash >>> SHARD_SHIFT]
    if (!shard) throw new RangeError(`no shard for hash ${hash}`)
    return shard
  }

  private slotOf(shard: Shard, hash: number, kind: number, hi: number, lo: number): number {
    const mask = shard.slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const address = shard.slots[slot] ?? 0
      if (address === 0 || (address !== TOMBSTONE && this.arena.hasKey(address, kind, hi, lo))) return slot
    }
  }

  private rehash(shard: Shard): void {
    const old = shard.slots
    shard.slots = new Uint32Array(shard.entries * 4 > old.length ? old.length * 2 : old.length)
    shard.taken = shard.entries
    this.bytes += (shard.slots.length - old.length) * 4
    for (const address of old) {
      if (address === 0 || address === TOMBSTONE) continue
      const { kind, hi, lo } = this.arena.blockAt(address)
      shard.slots[this.slotOf(shard, hashOf(kind, hi, lo), kind, hi, lo)] = address
    }
  }
}
