import { constants } from 'node:fs'
import { mkdir, open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { readReviewLater, type Recorded } from '../../domain/record.js'
import { RecordTail } from '../../domain/record-tail.js'
import type { Journal } from '../../ports/journal.js'
import { syncDirectory } from './durable-file.js'
import { IdIndex } from './id-index.js'
import { indexFileOf, saveIndex } from './segment-index.js'
import { decodeFrame, encodeFrame } from './segment.js'
import { endOf, loadSegments, segmentFile, type Segment } from './segments.js'

export interface FileJournalOptions {
  dir: string
  /** A segment is closed once it has grown past this; at most 3 GiB. */
  segmentBytes?: number
  /** Newest records kept in memory, so that readers that keep up never touch the disk. */
  tailRecords?: number
  /** A record of this id that is no longer in the files (see `retire`), for repeats of old events. */
  older?: (eventId: string) => Promise<Recorded | undefined>
  /** Called once, when nothing can be appended any more. */
  onFault?: (fault: Error) => void
}

interface Waiting { frame: Buffer; seq: number; settle: { resolve: () => void; reject: (fault: unknown) => void } }

/** Records read from a file at once. */
const CHUNK_RECORDS = 2_000

/** A write returns when the disk has it: one trip through the thread pool, where write and fdatasync would be two. */
const APPEND_DURABLY = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_DSYNC

/**
 * Opens the journal: an append-only run of files. Appends are written in groups, one synchronous write each (group commit), so that
 * a record is durable against a power cut and a busy second costs few syncs. A torn tail, which was never acknowledged, is
 * cut off. A write fault is final: what a failed sync left on the disk cannot be known, so the process must not go on.
 */
export async function openFileJournal({ dir, segmentBytes = 256 * 2 ** 20, tailRecords = 5_000, older, onFault }: FileJournalOptions): Promise<Journal> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await syncDirectory(dirname(dir))
  const ids = new IdIndex()
  const { segments, retired } = await loadSegments(dir, ids)
  const pathOf = ({ file }: { file: string }): string => join(dir, file)
  const last = segments.at(-1), lastRetired = retired.at(-1)
  let next = last ? endOf(last) : lastRetired ? lastRetired.first + lastRetired.count : 1
  let durableSeq = next - 1
  let handle: FileHandle | undefined = last && await open(pathOf(last), APPEND_DURABLY, 0o600)
  let waiting: Waiting[] = []
  let writing: Promise<void> | undefined
  let fault: Error | undefined
  let closed = false
  /** Records in flight are in here too. */
  const tail = new RecordTail(tailRecords)
  const inFlight = new Map<number, Promise<void>>()
  const firstSeq = (): number => segments[0]?.first ?? next

  async function flush(): Promise<void> {
    // Whatever is appended in this turn of the event loop goes in one group.
    await new Promise((done) => { setImmediate(done) })
    while (waiting.length > 0) {
      const group = waiting
      waiting = []
      try {
        await writeGroup(group)
        durableSeq = group.at(-1)?.seq ?? durableSeq
        for (const { settle, seq } of group) { inFlight.delete(seq); settle.resolve() }
      } catch (failure) {
        fault = new Error('the journal cannot be written any more', { cause: failure })
        for (const { settle } of [...group, ...waiting]) settle.reject(fault)
        waiting = []
        onFault?.(fault)
      }
    }
    writing = undefined
  }

  async function writeGroup(group: readonly Waiting[]): Promise<void> {
    const open = segments.at(-1)
    const segment = handle && open && open.bytes <= segmentBytes ? open : await roll(group[0]?.seq ?? next)
    const offsets = segment.offsets as number[]
    let bytes = segment.bytes
    for (const { frame } of group) { offsets.push(bytes); bytes += frame.length }
    if (handle) await writeAll(handle, group.map((w) => w.frame))
    segment.bytes = bytes
  }

  /** Closes the last segment, with its index, and begins the one whose first record is `first`. */
  async function roll(first: number): Promise<Segment> {
    const full = segments.at(-1)
    await handle?.close()
    handle = undefined
    if (full) {
      await saveIndex(join(dir, indexFileOf(full.file)), full.first, full.offsets, ids)
      full.offsets = Uint32Array.from(full.offsets)
    }
    const segment: Segment = { first, file: segmentFile(first), offsets: [], bytes: 0 }
    handle = await open(pathOf(segment), APPEND_DURABLY, 0o600)
    await syncDirectory(dir)
    segments.push(segment)
    return segment
  }

  async function load(seq: number, eventId: string): Promise<Recorded | undefined> {
    const recent = tail.at(seq)
    if (recent) return recent
    try {
      if (seq >= firstSeq()) return (await fromFile(seq, seq))[0]
    } catch (failure) {
      // Retired between the look at the list and the look at the file.
      if (seq >= firstSeq()) throw failure
    }
    return older?.(eventId)
  }

  async function* read(fromSeq: number, toSeq = durableSeq): AsyncGenerator<Recorded[]> {
    const end = Math.min(toSeq, durableSeq)
    for (let seq = fromSeq; seq <= end;) {
      if (seq < firstSeq()) throw new RangeError(`record ${seq} is no longer in the journal, which begins at ${firstSeq()}`)
      const recent = tail.run(seq, end, CHUNK_RECORDS)
      const chunk = recent.length > 0 ? recent : await fromFile(seq, end)
      seq += chunk.length
      yield chunk
    }
  }

  /** At least one record from `seq` on, at most a chunk, all of one segment; none beyond `end`, which must be durable. */
  async function fromFile(seq: number, end: number): Promise<Recorded[]> {
    const segment = segments.findLast((s) => s.first <= seq)
    if (!segment || seq >= endOf(segment)) throw new Error(`record ${seq} is in no file of ${dir}`)
    const from = seq - segment.first
    const count = Math.min(end - seq + 1, CHUNK_RECORDS, segment.offsets.length - from)
    const start = segment.offsets[from] ?? 0
    const bytes = await readRange(pathOf(segment), start, segment.offsets[from + count] ?? segment.bytes)
    const chunk: Recorded[] = []
    for (let at = 0; chunk.length < count;) {
      const frame = decodeFrame(bytes, at)
      if (!frame) throw new Error(`record ${seq + chunk.length} in ${pathOf(segment)} is damaged at byte ${start + at}`)
      chunk.push(frame.record)
      at = frame.next
    }
    return chunk
  }

  return {
    find(eventId) {
      const seq = ids.find(eventId)
      if (seq === 0) return undefined
      return (inFlight.get(seq) ?? Promise.resolve()).then(() => load(seq, eventId))
    },
    append(entry) {
      if (fault) throw fault
      if (closed) throw new Error('the journal is closed')
      const record: Recorded = { seq: next++, ...entry }
      ids.add(record.seq, record.event.eventId)
      tail.put(record)
      const frame = encodeFrame(record)
      if (record.review && record.lines) readReviewLater(record, record.lines)
      const durable = new Promise<void>((resolve, reject) => { waiting.push({ frame, seq: record.seq, settle: { resolve, reject } }) })
      inFlight.set(record.seq, durable)
      durable.catch(() => undefined) // the caller awaits it; a rejection must not be unhandled when nobody does
      writing ??= flush()
      return { seq: record.seq, durable }
    },
    read,
    async retire(beforeSeq, ages) {
      const given: Segment[] = []
      for (let second = segments[1]; second && second.first <= beforeSeq; second = segments[1]) {
        const [oldest] = segments
        if (!oldest || (await stat(pathOf(oldest))).mtimeMs >= ages.records) break
        segments.shift()
        retired.push({ first: oldest.first, count: oldest.offsets.length, file: indexFileOf(oldest.file) })
        given.push(oldest)
        await unlink(pathOf(oldest))
      }
      for (let [oldest] = retired; oldest; [oldest] = retired) {
        if ((await stat(pathOf(oldest))).mtimeMs >= ages.ids) break
        ids.forget(oldest.first + oldest.count)
        retired.shift()
        await unlink(pathOf(oldest))
      }
      return given.reduce((records, { offsets }) => records + offsets.length, 0)
    },
    get firstSeq() { return firstSeq() },
    get lastSeq() { return next - 1 },
    get durableSeq() { return durableSeq },
    get pending() { return inFlight.size },
    get fault() { return fault },
    async close() {
      closed = true
      await writing
      await handle?.close()
      handle = undefined
    },
  }
}

/** As many buffers as one call to the system takes. */
const BUFFERS_PER_WRITE = 1_000

/** Without copying the buffers into one first; a write that came out short (a full disk, a signal) is carried on. */
async function writeAll(file: FileHandle, frames: readonly Buffer[]): Promise<void> {
  for (let i = 0; i < frames.length; i += BUFFERS_PER_WRITE) {
    const some = frames.slice(i, i + BUFFERS_PER_WRITE)
    const { bytesWritten } = await file.writev(some)
    const rest = some.reduce((sum, frame) => sum + frame.length, 0) - bytesWritten
    if (rest > 0) await file.appendFile(Buffer.concat(some).subarray(bytesWritten))
  }
}

async function readRange(path: string, start: number, end: number): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const bytes = Buffer.allocUnsafe(end - start)
    for (let got = 0; got < bytes.length;) {
      const { bytesRead } = await file.read(bytes, got, bytes.length - got, start + got)
      if (bytesRead === 0) throw new Error(`${path} ends at byte ${start + got}, before the record that was asked for`)
      got += bytesRead
    }
    return bytes
  } finally {
    await file.close()
  }
}
