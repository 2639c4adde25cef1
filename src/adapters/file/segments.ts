import { readdir, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { IdIndex } from './id-index.js'
import { indexFileOf, loadIndex, saveIndex } from './segment-index.js'
import { decodeHead, holdsRecord } from './segment.js'

/** One file of the journal. `offsets`: byte offset of each record; `bytes`: where the last one ends. */
export interface Segment { first: number; file: string; offsets: number[] | Uint32Array; bytes: number }

/** What is left of a segment that was given up: the ids of its records. */
export interface RetiredSegment { first: number; count: number; file: string }

const EXTENSION = '.journal'
export const segmentFile = (first: number): string => `${String(first).padStart(12, '0')}${EXTENSION}`
const firstOf = (file: string): number => Number(file.slice(0, 12))
export const endOf = ({ first, offsets }: Segment): number => first + offsets.length

/**
 * Finds what a journal's directory holds and makes its ids known. The last segment may end in a torn record, which was
 * never acknowledged: it is cut off. Any other damage, or a gap, rejects with the file's name: records that were
 * acknowledged would be missing.
 */
export async function loadSegments(dir: string, ids: IdIndex): Promise<{ segments: Segment[]; retired: RetiredSegment[] }> {
  const names = await readdir(dir)
  const files = names.filter((name) => name.endsWith(EXTENSION)).sort()
  const orphans = names.filter((name) => name.endsWith(indexFileOf(EXTENSION)) && !files.includes(segmentFile(firstOf(name)))).sort()
  const firstKnown = [...orphans, ...files].sort()[0]
  if (firstKnown !== undefined) ids.startAt(firstOf(firstKnown))
  const retired: RetiredSegment[] = []
  for (const file of orphans) retired.push(await loadRetired(dir, file, ids))
  const segments: Segment[] = []
  for (const [i, file] of files.entries()) segments.push(await loadSegment(dir, file, files[i + 1], ids))
  checkWhole(dir, retired, segments)
  return { segments, retired }
}

/** What was retired comes first, then the segments, each beginning where the one before it ends. */
function checkWhole(dir: string, retired: readonly RetiredSegment[], segments: readonly Segment[]): void {
  const pieces = [...retired.map((r) => ({ first: r.first, end: r.first + r.count })), ...segments.map((s) => ({ first: s.first, end: endOf(s) }))]
  const broken = pieces.find(({ end }, i) => { const next = pieces[i + 1]; return next !== undefined && next.first !== end })
  const missing = broken?.end ?? (segments.length === 0 ? pieces.at(-1)?.end : undefined)
  if (missing !== undefined) throw new Error(`a file is missing from ${dir}, with the records from ${missing} on; restore the journal from a backup`)
}

async function loadRetired(dir: string, file: string, ids: IdIndex): Promise<RetiredSegment> {
  const index = await loadIndex(join(dir, file))
  if (!index) throw new Error(`${join(dir, file)} is damaged: repeats of the events in it could not be told from new ones; restore it from a backup`)
  index.addTo(ids, firstOf(file))
  return { first: firstOf(file), count: index.offsets.length, file }
}

async function loadSegment(dir: string, file: string, next: string | undefined, ids: IdIndex): Promise<Segment> {
  const path = join(dir, file), first = firstOf(file)
  if (next === undefined) return scan(path, file, ids, true)
  const index = await loadIndex(join(dir, indexFileOf(file)))
  if (index?.offsets.length === firstOf(next) - first) {
    index.addTo(ids, first)
    return { first, file, offsets: index.offsets, bytes: (await stat(path)).size }
  }
  const segment = await scan(path, file, ids, false)
  await saveIndex(join(dir, indexFileOf(file)), first, segment.offsets, ids)
  return segment
}

/** Reads a whole segment record by record. */
async function scan(path: string, file: string, ids: IdIndex, mayBeTorn: boolean): Promise<Segment> {
  const first = firstOf(file)
  const bytes = await readFile(path)
  const offsets: number[] = []
  let at = 0
  while (at < bytes.length) {
    const head = decodeHead(bytes, at)
    if (head?.seq !== first + offsets.length) {
      if (!mayBeTorn || holdsRecord(bytes, at)) throw new Error(`${path} is damaged at byte ${at}: whole records follow, which would be lost; restore it from a backup`)
      await truncate(path, at)
      break
    }
    ids.add(head.seq, head.eventId)
    offsets.push(at)
    at = head.next
  }
  return { first, file, offsets, bytes: at }
}
