import { open, rename } from 'node:fs/promises'
import type { MemoryVelocityStore, SnapshotHead } from './velocity-store.js'

/** File: magic, length of the head (little-endian), the head as JSON, then the arena's pages. */
const MAGIC = 0x5a48_4e31
const PAGE_BYTES = 1 << 20

interface FileHead extends SnapshotHead { seq: number; pages: number }

/**
 * Writes the store's state as of journal position `seq` to `path`, replacing what is there only when it is complete and
 * synced. Events go on meanwhile; `settled` must resolve once position `seq` is durable in the journal.
 */
export async function saveSnapshot(store: MemoryVelocityStore, seq: number, path: string, settled: () => Promise<void>): Promise<void> {
  const { head, pages } = store.snapshot()
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    let count = 0
    const start = Buffer.alloc(8)
    // The head goes last in time but first in the file, once the number of pages is known: room is left for it.
    const room = Buffer.byteLength(JSON.stringify({ ...head, seq, pages: Number.MAX_SAFE_INTEGER }))
    for (const page of pages) {
      await file.write(Buffer.from(page.buffer, page.byteOffset, page.byteLength), 0, PAGE_BYTES, 8 + room + count * PAGE_BYTES)
      count++
    }
    start.writeUInt32LE(MAGIC, 0)
    start.writeUInt32LE(room, 4)
    await file.write(Buffer.concat([start, Buffer.from(JSON.stringify({ ...head, seq, pages: count } satisfies FileHead).padEnd(room))]), 0, 8 + room, 0)
    await settled()
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

/**
 * Fills the store from the snapshot at `path`. Returns the journal position it stands for; 0, leaving the store empty, when
 * there is none, it is damaged, or the counters have changed since: then everything is counted again.
 */
export async function loadSnapshot(store: MemoryVelocityStore, path: string): Promise<number> {
  const file = await open(path, 'r').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (!file) return 0
  try {
    const start = Buffer.alloc(8)
    await file.read(start, 0, 8, 0)
    if (start.readUInt32LE(0) !== MAGIC) return 0
    const room = start.readUInt32LE(4)
    const text = Buffer.alloc(room)
    await file.read(text, 0, room, 8)
    const head = JSON.parse(text.toString('utf8')) as FileHead
    const pages: Uint32Array[] = []
    for (let i = 0; i < head.pages; i++) {
      const page = new Uint32Array(PAGE_BYTES / 4)
      const { bytesRead } = await file.read(Buffer.from(page.buffer), 0, PAGE_BYTES, 8 + room + i * PAGE_BYTES)
      if (bytesRead !== PAGE_BYTES) return 0
      pages.push(page)
    }
    return store.restore(head, pages) ? head.seq : 0
  } finally {
    await file.close()
  }
}
