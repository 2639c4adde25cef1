import { createReadStream, type ReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, stat, truncate, writeFile, rename, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Recorded } from '../../ports/history-store.js'
import type { Journal } from '../../ports/journal.js'
import { IdIndex } from './id-index.js'
import { decodeFrame, encodeFrame, frameEnd } from './segment.js'

export interface FileJournalOptions {
  dir: string
  /** A segment is closed once it has grown past this. */
  segmentBytes?: number
  /** Newest records kept in memory, so that readers that keep up never touch the disk. */
  tailRecords?: number
  /** A record of this id that is no longer in the files (see `retire`), for repeats of old events. */
  older?: (eventId: string) => Promise<Recorded | undefined>
}

interface Segment { first: number; file: string; /** Byte offset of each record. */ offsets: number[] }
interface Waiting { frame: Buffer; record: Recorded; settle: { resolve: () => void; reject: (fault: unknown) => void } }

const CHUNK_RECORDS = 2_000

/**
 * Opens the journal: an append-only run of files. Appends are written in groups, one fdatasync each (group commit), so that
 * a record is durable against a power cut and a busy second costs few syncs. A torn tail, which was never acknowledged, is
 * cut off. A write fault is final: every later append rejects, the process must not go on giving out decisions.
 */
export async function openFileJournal({ dir, segmentBytes = 256 * 2 ** 20, tailRecords = 20_000, older }: FileJournalOptions): Promise<Journal> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const ids = new IdIndex()
  const segments = await loadSegments(dir, ids)
  let next = (() => { const last = segments.at(-1); return last ? last.first + last.offsets.length : 1 })()
  let durableSeq = next - 1
  let size = segments.length > 0 ? (await stat(join(dir, segments.at(-1)?.file ?? ''))).size : 0
  let handle: FileHandle | undefined = segments.length > 0 ? await open(join(dir, segments.at(-1)?.file ?? ''), 'a') : undefined
  let waiting: Waiting[] = []
  let writing: Promise<void> | undefined
  let fault: unknown
  /** Newest records by position modulo its length; records in flight are in here too. */
  const tail: (Recorded | undefined)[] = Array.from({ length: tailRecords })
  const inFlight = new Map<number, Promise<void>>()

  async function flush(): Promise<void> {
    // Whatever is appended in this turn of the event loop goes in one group.
    await new Promise((done) => { setImmediate(done) })
    while (waiting.length > 0) {
      const group = waiting
      waiting = []
      try {
        await writeGroup(group)
        durableSeq = group.at(-1)?.record.seq ?? durableSeq
        for (const { settle, record } of group) { inFlight.delete(record.seq); settle.resolve() }
      } catch (failure) {
        fault = failure
        for (const { settle } of [...group, ...waiting]) settle.reject(failure)
        waiting = []
      }
    }
    writing = undefined
  }

  async function writeGroup(group: readonly Waiting[]): Promise<void> {
    if (!handle || size > segmentBytes) await roll(group[0]?.record.seq ?? next)
    const segment = segments.at(-1)
    if (!handle || !segment) throw new Error('the journal has no open segment')
    for (const { frame } of group) { segment.offsets.push(size); size += frame.length }
    await handle.appendFile(Buffer.concat(group.map((w) => w.frame)))
    await handle.datasync()
  }

  async function roll(first: number): Promise<void> {
    const full = segments.at(-1)
    await handle?.close()
    if (full) await saveIndex(dir, full, ids)
    const file = `${String(first).padStart(12, '0')}.journal`
    handle = await open(join(dir, file), 'a', 0o600)
    segments.push({ first, file, offsets: [] })
    size = 0
  }

  async function load(seq: number): Promise<Recorded | undefined> {
    const recent = tail[seq % tailRecords]
    if (recent?.seq === seq) return recent
    for await (const [record] of read(seq, seq)) return record
    return undefined
  }

  async function* read(fromSeq: number, toSeq = durableSeq): AsyncGenerator<Recorded[]> {
    let seq = Math.max(fromSeq, segments[0]?.first ?? 1)
    const end = Math.min(toSeq, durableSeq)
    while (seq <= end) {
      const chunk = tail[seq % tailRecords]?.seq === seq ? fromTail(seq, end) : await fromFile(seq, Math.min(end, seq + CHUNK_RECORDS - 1))
      if (chunk.length === 0) throw new Error(`the journal has no record ${seq} although it should`)
      seq += chunk.length
      yield chunk
    }
  }

  function fromTail(seq: number, end: number): Recorded[] {
    const chunk: Recorded[] = []
    for (let s = seq; s <= end && chunk.length < CHUNK_RECORDS; s++) {
      const record = tail[s % tailRecords]
      if (record?.seq !== s) break
      chunk.push(record)
    }
    return chunk
  }

  async function fromFile(seq: number, end: number): Promise<Recorded[]> {
    const segment = segments.findLast((s) => s.first <= seq)
    if (!segment) return []
    const index = seq - segment.first
    const last = Math.min(end - segment.first, segment.offsets.length - 1)
    const start = segment.offsets[index] ?? 0
    const bytes = await readRange(join(dir, segment.file), start, segment.offsets[last + 1])
    const chunk: Recorded[] = []
    for (let at = 0; chunk.length <= last - index;) {
      const frame = decodeFrame(bytes, at)
      if (!frame) throw new Error(`record ${seq + chunk.length} in ${segment.file} is damaged`)
      chunk.push(frame.record)
      at = frame.next
    }
    return chunk
  }

  return {
    find(eventId) {
      const seq = ids.find(eventId)
      if (seq === 0) return undefined
      const durable = inFlight.get(seq) ?? Promise.resolve()
      return durable.then(() => (seq < (segments[0]?.first ?? 1) ? older?.(eventId) : load(seq)))
    },
    append(entry) {
      const record: Recorded = { seq: next++, ...entry }
      ids.add(record.seq, record.event.eventId)
      tail[record.seq % tailRecords] = record
      const durable = fault === undefined
        ? new Promise<void>((resolve, reject) => { waiting.push({ frame: encodeFrame(record), record, settle: { resolve, reject } }) })
        : Promise.reject(new Error('the journal cannot be written any more', { cause: fault }))
      inFlight.set(record.seq, durable)
      durable.catch(() => undefined) // the caller awaits it; a rejection must not be unhandled when nobody does
      writing ??= flush()
      return { seq: record.seq, durable }
    },
    read,
    get firstSeq() { return segments[0]?.first ?? 1 },
    get lastSeq() { return next - 1 },
    get durableSeq() { return durableSeq },
    get pending() { return inFlight.size },
    async close() {
      await writing
      await handle?.close()
      handle = undefined
    },
  }
}

// ---- opening

async function loadSegments(dir: string, ids: IdIndex): Promise<Segment[]> {
  const files = (await readdir(dir)).filter((f) => f.endsWith('.journal')).sort()
  const segments: Segment[] = []
  for (const [i, file] of files.entries()) {
    const first = Number(file.slice(0, 12))
    const offsets = (i < files.length - 1 ? await loadIndex(dir, file, first, ids) : undefined) ?? await scan(join(dir, file), first, ids, i === files.length - 1)
    segments.push({ first, file, offsets })
  }
  return segments.filter((s, i) => s.offsets.length > 0 || i === segments.length - 1)
}

/** Reads a whole segment frame by frame. The last one may end in a torn frame, which is cut off. */
async function scan(path: string, first: number, ids: IdIndex, mayBeTorn: boolean): Promise<number[]> {
  const bytes = await readFile(path)
  const offsets: number[] = []
  let at = 0
  while (at < bytes.length) {
    const frame = frameEnd(bytes, at) === undefined ? undefined : decodeFrame(bytes, at)
    if (!frame) {
      if (!mayBeTorn) throw new Error(`${path} is damaged at byte ${at}`)
      await truncate(path, at)
      break
    }
    ids.add(first + offsets.length, frame.record.event.eventId)
    offsets.push(at)
    at = frame.next
  }
  return offsets
}

/** A closed segment's ids and offsets: three words per record. A start reads these instead of the segment. */
async function saveIndex(dir: string, segment: Segment, ids: IdIndex): Promise<void> {
  const words = new Uint32Array(segment.offsets.length * 3)
  segment.offsets.forEach((offset, i) => {
    const { hi, lo } = ids.hashOf(segment.first + i)
    words.set([hi, lo, offset], i * 3)
  })
  const path = join(dir, `${segment.file}.index`)
  await writeFile(`${path}.new`, words, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

async function loadIndex(dir: string, file: string, first: number, ids: IdIndex): Promise<number[] | undefined> {
  const bytes = await readFile(join(dir, `${file}.index`)).catch(() => undefined)
  if (!bytes) return undefined
  const words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  const offsets: number[] = []
  for (let i = 0; i < words.length; i += 3) {
    ids.addHash(first + offsets.length, words[i] ?? 0, words[i + 1] ?? 0)
    offsets.push(words[i + 2] ?? 0)
  }
  return offsets
}

async function readRange(path: string, start: number, end: number | undefined): Promise<Buffer> {
  const stream: ReadStream = createReadStream(path, end === undefined ? { start } : { start, end: end - 1 })
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
