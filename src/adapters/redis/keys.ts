import { createHash } from 'node:crypto'
import calculateSlot from 'cluster-key-slot'

/** Name of an entity's value, and the hash slot of a Cluster that it is in. */
export interface EntityKey { value: Buffer; slot: number }

/**
 * Short, for every byte is paid for each entity: the prefix, then kind and 64 bits of hash in braces, which put a value and its
 * lock (the same name and an `l`) on one node of a cluster. The script of a trip makes the same names (script.ts).
 */
export class Keys {
  constructor(private readonly prefix: string) {}

  of(kind: number, hi: number, lo: number): EntityKey {
    const tag = Buffer.alloc(9)
    tag[0] = kind
    tag.writeUInt32LE(hi, 1)
    tag.writeUInt32LE(lo, 5)
    const value = Buffer.concat([Buffer.from(`${this.prefix}{`), tag, BRACE])
    return { value, slot: calculateSlot(value) }
  }
}

const BRACE = Buffer.from('}')

/** A prefix for what has a long name. Eight characters: with the entity's own name and Redis' head they just fit into 32 bytes. */
export const shortPrefix = (name: string): string => `z${createHash('sha256').update(name).digest('base64url').slice(0, 7)}`
