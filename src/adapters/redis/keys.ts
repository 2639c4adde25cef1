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
    const closing = tag.indexOf(CLOSING_BRACE)
    return { value: Buffer.concat([Buffer.from(`${this.prefix}{`), tag, BRACE]), slot: slotOf(closing < 0 ? tag : tag.subarray(0, closing)) }
  }
}

const CLOSING_BRACE = 0x7d
const BRACE = Buffer.of(CLOSING_BRACE)
const SLOTS = 16_384

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc & 0xffff
})

/** The cluster's hash slot of a tag: CRC-16/XMODEM modulo 16384, as the Redis Cluster specification says. */
function slotOf(tag: Uint8Array): number {
  let crc = 0
  for (const byte of tag) crc = ((crc << 8) & 0xffff) ^ (CRC_TABLE[(crc >>> 8) ^ byte] ?? 0)
  return crc % SLOTS
}
