import type { Logger } from '../adapters/pino/log.js'
import type { Journal } from '../ports/journal.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** For looking at what happened, and for a rebuild without history. */
const RECORDS_FOR_MS = 7 * DAY_MS
/** An id must be known for longer than an event may be old when it comes. */
const IDS_SLACK_MS = DAY_MS

/**
 * Gives up, once an hour, the journal's oldest files that nobody needs any more, so that the disk does not fill for ever.
 * `neededFrom` is the lowest position that some reader has not passed.
 */
export function startRetiring({ journal, neededFrom, repeatDays, log }: { journal: Pick<Journal, 'retire' | 'firstSeq'>; neededFrom: () => number; repeatDays: number; log: Logger }): { stop(): void } {
  const retire = async (): Promise<void> => {
    const records = await journal.retire(neededFrom(), { records: Date.now() - RECORDS_FOR_MS, ids: Date.now() - repeatDays * DAY_MS - IDS_SLACK_MS })
    if (records > 0) log.info({ records, firstSeq: journal.firstSeq }, 'old journal files were given up; history has their events')
  }
  const timer = setInterval(() => {
    retire().catch((fault: unknown) => { log.warn({ error: fault instanceof Error ? fault.message : 'unknown fault' }, 'old journal files could not be given up; it is tried again') })
  }, HOUR_MS)
  return { stop() { clearInterval(timer) } }
}
