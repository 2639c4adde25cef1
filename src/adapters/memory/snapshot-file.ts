import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { PAGE_BYTES } from './log-arena.js'
import type { MemoryVelocityStore, SnapshotHead } from './velocity-store.js'

/** File: magic, length of the head and its CRC-32 (little-endian), the head as JSON, then the arena's pages. */
const MAGIC = 0x5a48_4e32
const START_BYTES = 12

/** `checksum`: CRC-32 over all pages. */
interface FileHead extends SnapshotHead { seq: number; pages: number; checksum: number }

/**
 * Writes the store's state as of journal position `seq` to `path`, replacing what is there only when it is complete and
 * synced. Events go on meanwhile; `settled` must resolve once position `seq` is durable in the journal, and reject when it
 * never will be: a state that no journal explains must not come back.
 */
export async function saveSnapshot(store: MemoryVelocityStore, seq: number, path: string, settled: () => Promise<void>): Promise<void> {
  const { head, pages } = store.snapshot()
  const file = await open(`${path}.new`, 'w', 0o600).catch((fault: unknown) => {
    // Only a generator that has begun can end: the store would go on copying pages for us.
    pages.next()
    pages.return()
    throw fault
  })
  try {
    await writePages(file, { ...head, seq, pages: 0, checksum: 0 }, pages)
    await settled()
    await file.sync()
  } catch (fault) {
    await file.close()
    await rm(`${path}.new`, { force: true })
    throw fault
  }
  await file.close()
  await rename(`${path}.new`, path)
  const dir = await open(dirname(path), 'r')
  await dir.sync().finally(() => dir.close())
}

async function writePages(file: FileHandle, head: FileHead, pages: Iterable<Uint32Array>): Promise<void> {
  // The head goes last in time but first in the file, once the pages are counted: room is left for it.
  const room = Buffer.byteLength(JSON.stringify({ ...head, pages: Number.MAX_SAFE_INTEGER, checksum: Number.MAX_SAFE_INTEGER }))
  for (const page of pages) {
    const bytes = Buffer.from(page.buffer, page.byteOffset, page.byteLength)
    head.checksum = crc32(bytes, head.checksum)
    await writeAll(file, bytes, START_BYTES + room + head.pages * PAGE_BYTES)
    head.pages++
  }
  const text = Buffer.from(JSON.stringify(head).padEnd(room))
  const start = Buffer.alloc(START_BYTES)
  start.writeUInt32LE(MAGIC, 0)
  start.writeUInt32LE(room, 4)
  start.writeUInt32LE(crc32(text), 8)
  await writeAll(file, Buffer.concat([start, text]), 0)
}

/** A disk that is nearly full takes a part without a word. */
async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
}

/**
 * Fills the store from the snapshot at `path`. Returns the journal position it stands for; 0, leaving the store empty, when
 * there is none, it is damaged, it stands for more than `upTo` (the journal is an older one), or the counters have changed
 * since: then everything is counted again.
 */
export async function loadSnapshot(store: MemoryVelocityStore, path: string, upTo = Infinity): Promise<number> {
  const file = await open(path, 'r').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (!file) return 0
  try {
    const found = await readHead(file)
    if (!found || found.head.seq > upTo) return 0
    const pages = await readPages(file, found.head, found.pagesAt)
    return pages && store.restore(found.head, pages) ? found.head.seq : 0
  } finally {
    await file.close()
  }
}

async function readHead(file: FileHandle): Promise<{ head: FileHead; pagesAt: number } | undefined> {
  const start = Buffer.alloc(START_BYTES)
  await file.read(start, 0, START_BYTES, 0)
  const room = start.readUInt32LE(4)
  if (start.readUInt32LE(0) !== MAGIC || room > (await file.stat()).size) return undefined
  const text = Buffer.alloc(room)
  await file.read(text, 0, room, START_BYTES)
  if (crc32(text) !== start.readUInt32LE(8)) return undefined
  return { head: JSON.parse(text.toString('utf8')) as FileHead, pagesAt: START_BYTES + room }
}

async function readPages(file: FileHandle, head: FileHead, pagesAt: number): Promise<Uint32Array[] | undefined> {
  const pages: Uint32Array[] = []
  let checksum = 0
  for (let i = 0; i < head.pages; i++) {
    const page = new Uint32Array(PAGE_BYTES / 4)
    const bytes = Buffer.from(page.buffer)
    const { bytesRead } = await file.read(bytes, 0, PAGE_BYTES, pagesAt + i * PAGE_BYTES)
    if (bytesRead !== PAGE_BYTES) return undefined
    checksum = crc32(bytes, checksum)
    pages.push(page)
  }
  return checksum === head.checksum ? pages : undefined
}
