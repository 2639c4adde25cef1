import { readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { replaceFile } from './durable-file.js'
import type { IdIndex } from './id-index.js'

/**
 * Ids and offsets of a closed segment. A start reads these instead of the segment; they outlive it, so that repeats of
 * retired events are still known. File: magic and CRC-32 of the rest (little-endian), then per record the id hash (two words)
 * and the offset.
 */
const MAGIC = 0x5a48_4931
const HEAD_BYTES = 8
const RECORD_WORDS = 3

export const indexFileOf = (segmentFile: string): string => `${segmentFile}.index`

/** Durable when it settles. */
export async function saveIndex(path: string, first: number, offsets: ArrayLike<number>, ids: IdIndex): Promise<void> {
  const words = new Uint32Array(offsets.length * RECORD_WORDS)
  for (let i = 0; i < offsets.length; i++) {
    const { hi, lo } = ids.hashOf(first + i)
    words.set([hi, lo, offsets[i] ?? 0], i * RECORD_WORDS)
  }
  const body = new Uint8Array(words.buffer)
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32LE(MAGIC, 0)
  head.writeUInt32LE(crc32(body), 4)
  await replaceFile(path, Buffer.concat([head, body]))
}

/** Offsets of the segment's records, and a way to make their ids known. Undefined when there is no index or it is damaged. */
export async function loadIndex(path: string): Promise<{ offsets: Uint32Array; addTo: (ids: IdIndex, first: number) => void } | undefined> {
  const bytes = await readFile(path).catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (!bytes || bytes.length < HEAD_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined
  const body = new Uint8Array(bytes.subarray(HEAD_BYTES))
  if (crc32(body) !== bytes.readUInt32LE(4) || body.length % (RECORD_WORDS * 4) !== 0) return undefined
  const words = new Uint32Array(body.buffer)
  const offsets = new Uint32Array(words.length / RECORD_WORDS).map((_, i) => words[i * RECORD_WORDS + 2] ?? 0)
  return {
    offsets,
    addTo(ids, first) {
      for (let i = 0; i < offsets.length; i++) ids.addHash(first + i, words[i * RECORD_WORDS] ?? 0, words[i * RECORD_WORDS + 1] ?? 0)
    },
  }
}
