import { writeSync } from 'node:fs'
import { openFileJournal } from '../../src/adapters/file/journal.js'
import { anEntry } from './journal-entries.js'

/** Small, so that a kill often falls into the change from one file to the next. */
export const SEGMENT_BYTES = 20_000
const MAX_BURST = 40
const KEPT_RECORDS = 400

/**
 * Runs as a process of its own, to be killed: appends as fast as it can, in bursts of all sizes, prints each position once it
 * is durable, and now and then gives up old files. Record n is always `anEntry(n)`.
 */
export async function main([dir = '']: readonly string[]): Promise<void> {
  const journal = await openFileJournal({ dir, segmentBytes: SEGMENT_BYTES, tailRecords: 16 })
  for (let burst = 1; ; burst++) {
    const appended = Array.from({ length: 1 + ((burst * 17) % MAX_BURST) }, () => journal.append(anEntry(journal.lastSeq + 1)))
    for (const { seq, durable } of appended) void durable.then(() => writeSync(1, `${seq}\n`))
    if (burst % 3 === 0) await appended.at(-1)?.durable
    else await new Promise(setImmediate)
    if (burst % 50 === 0) await journal.retire(journal.durableSeq - KEPT_RECORDS, { records: Infinity, ids: 0 })
  }
}
