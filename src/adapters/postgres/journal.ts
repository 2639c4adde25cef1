import { setTimeout as sleep } from 'node:timers/promises'
import { readReviewLater, writeRecord, type Recorded } from '../../domain/record.js'
import { RecordTail } from '../../domain/record-tail.js'
import type { Journal } from '../../ports/journal.js'
import type { Effects, Found, Recorder, Seen } from '../../ports/recorder.js'
import type { PostgresEnforcementStore } from './enforcement-store.js'
import { readJournal, retireJournal } from './journal-parts.js'
import type { Pool } from './pool.js'
import { mayPass, recordBatch, toRecorded, withSeq, type FoundRow, type Unrecorded } from './record-batch.js'

export interface PostgresJournalOptions {
  /** Where the effects of records go, in the records' own transaction. */
  enforcement: Pick<PostgresEnforcementStore, 'applyWithin'>
  /** A record of this id that is no longer in the table (see `retire`), for repeats of old events. */
  older?: (eventId: string) => Promise<Recorded | undefined>
  /** Spares the look into the table for ids that are new. Without it every id is looked up. */
  seen?: Seen
  /** Most records of one transaction. */
  maxBatch?: number
  /** A batch that cannot be recorded is tried again until it has waited this long; then its records are rejected. */
  deadlineMs?: number
  /** How often the journal's end is asked for, so that what other processes recorded is seen here; 0: only by `poll`. */
  pollMs?: number
  /** Called for each fault that is tried again. */
  onRetry?: (fault: unknown, what: 'record' | 'seen' | 'poll', attempt: number) => void
}

/** The journal as several processes share it: a recorder with its effects, and a reader. `fault` is never set: PostgreSQL comes back. */
export interface PostgresJournal extends Recorder, Pick<Journal, 'read' | 'retire' | 'firstSeq' | 'lastSeq' | 'durableSeq' | 'close'> {
  /** `find` that asks nobody but the table: for readers, who decide nothing. */
  peek(eventId: string): Promise<Found | undefined>
  /** Asks where the journal begins and ends now. */
  poll(): Promise<void>
}

interface OnItsWay extends Unrecorded { entry: Omit<Recorded, 'seq'>; recorded: Promise<FoundRow | undefined>; settle: { resolve: (known: FoundRow | undefined) => void; reject: (fault: unknown) => void } }

const MAX_BATCH = 200
const DEADLINE_MS = 10_000
const POLL_MS = 100
const BACK_OFF_MIN_MS = 20
const BACK_OFF_MAX_MS = 1_000
/** An id that was seen and is not in the table: another process is deciding it, or died doing so. About a second in all. */
const LOOK_AGAIN_MS = [10, 20, 40, 80, 160, 320, 400]
const IDS_PER_LOOK = 500
const MAX_CLAIMED = 50_000
/** Of this process' own records, for its readers: some 20 MB, and more than history waits for. */
const TAIL_RECORDS = 5_000

const nextTurn = (): Promise<void> => new Promise((done) => { setImmediate(done) })

/**
 * Opens the shared journal. Records that wait at the same moment go as one transaction, one at a time, so that positions keep
 * the order of calls of this process. The pool stays the caller's. Rejects when PostgreSQL does not answer.
 */
export async function createPostgresJournal(pool: Pool, options: PostgresJournalOptions): Promise<PostgresJournal> {
  const { enforcement, older, seen, maxBatch = MAX_BATCH, deadlineMs = DEADLINE_MS, pollMs = POLL_MS, onRetry } = options
  const inFlight = new Map<string, OnItsWay>()
  /** New ids that were not recorded after all, because they were turned away, say: nobody else is deciding them. */
  const claimed = new Set<string>()
  let waiting: OnItsWay[] = []
  let running: Promise<void> | undefined
  let closed = false
  let firstSeq = 1
  let durableSeq = 0
  const lookUp = lookUpTogether(pool)
  const tail = new RecordTail(TAIL_RECORDS)

  async function run(): Promise<void> {
    // Whatever is recorded in this turn of the event loop goes in one batch.
    await nextTurn()
    while (waiting.length > 0) {
      const batch = waiting.slice(0, maxBatch)
      waiting = waiting.slice(maxBatch)
      await settle(batch)
    }
    running = undefined
  }

  /** A batch that PostgreSQL will not take goes one by one, so that one bad record does not take the others with it. */
  async function settle(batch: readonly OnItsWay[]): Promise<void> {
    try {
      const { rows, lastSeq } = await recordUntilDone(batch)
      batch.forEach((own, i) => {
        const row = rows[i]
        if (row && 'seq' in row) tail.put(placed(own, row.seq))
      })
      durableSeq = Math.max(durableSeq, lastSeq)
      batch.forEach(({ settle }, i) => { const row = rows[i]; settle.resolve(row && 'first' in row ? row.first : undefined) })
    } catch (fault) {
      if (batch.length > 1 && !mayPass(fault)) for (const one of batch) await settle([one])
      else for (const { settle } of batch) settle.reject(new Error('PostgreSQL did not record the event, or did not say so', { cause: fault }))
    }
    for (const one of batch) if (inFlight.get(one.eventId) === one) inFlight.delete(one.eventId)
  }

  async function recordUntilDone(batch: readonly OnItsWay[]): ReturnType<typeof recordBatch> {
    const giveUpAt = performance.now() + deadlineMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await recordBatch(pool, enforcement, batch)
      } catch (fault) {
        const waitMs = Math.min(BACK_OFF_MAX_MS, BACK_OFF_MIN_MS * 2 ** Math.min(attempt, 10))
        if (!mayPass(fault) || performance.now() + waitMs > giveUpAt) throw fault
        onRetry?.(fault, 'record', attempt)
        await sleep(waitMs)
      }
    }
  }

  function enqueue(entry: Omit<Recorded, 'seq'>, effects: Effects | undefined): Promise<FoundRow | undefined> {
    let settle: OnItsWay['settle'] = { resolve: () => undefined, reject: () => undefined }
    const recorded = new Promise<FoundRow | undefined>((resolve, reject) => { settle = { resolve, reject } })
    recorded.catch(() => undefined) // the caller awaits it; a rejection must not be unhandled when nobody does
    const { eventId } = entry.event
    // The position is only known at the commit: it has a column of its own.
    const own: OnItsWay = { eventId, entry, lines: writeRecord({ ...entry, seq: 0 }), effects, recorded, settle }
    inFlight.set(eventId, own)
    waiting.push(own)
    running ??= run()
    return recorded
  }

  async function toFound({ event_id, seq, lines }: FoundRow): Promise<Found> {
    return lines === null ? (await older?.(event_id)) ?? 'forgotten' : toRecorded(Number(seq), lines)
  }

  /** What the table has, or will have when its record on its way gets there. */
  async function look(eventId: string): Promise<Found | undefined> {
    await inFlight.get(eventId)?.recorded
    const row = await lookUp(eventId)
    return row && toFound(row)
  }

  async function find(eventId: string, bodyHash: string): Promise<Found | undefined> {
    if (!seen || inFlight.has(eventId) || claimed.has(eventId)) return look(eventId)
    const claim = await seen.claim(eventId, bodyHash).catch((fault: unknown) => { onRetry?.(fault, 'seen', 1); return 'unsure' as const })
    if (claim === 'new') {
      if (claimed.size >= MAX_CLAIMED) claimed.clear()
      claimed.add(eventId)
      return undefined
    }
    let found = await look(eventId)
    if (claim === 'seen') for (const waitMs of found ? [] : LOOK_AGAIN_MS) if (!found) found = await sleep(waitMs).then(() => look(eventId))
    return found
  }

  async function poll(): Promise<void> {
    const { rows: [row] } = await pool.query<{ seq: string; first: string }>(
      'SELECT seq, coalesce((SELECT min(first_seq) FROM journal_parts WHERE NOT retired), seq + 1) AS first FROM journal_head')
    durableSeq = Math.max(durableSeq, Number(row?.seq))
    firstSeq = Math.max(firstSeq, Number(row?.first))
  }

  await poll()
  const stopPolling = pollMs > 0 ? pollOften(poll, pollMs, (fault, attempt) => onRetry?.(fault, 'poll', attempt)) : undefined

  return {
    find,
    async record(entry, effects) {
      if (closed) throw new Error('the journal is closed')
      const { eventId } = entry.event
      // Two of one id that both found nothing: the first to get here is the one.
      if (inFlight.has(eventId)) return look(eventId)
      claimed.delete(eventId)
      const known = await enqueue(entry, effects)
      return known && toFound(known)
    },
    async *read(fromSeq, toSeq = durableSeq) {
      if (fromSeq < firstSeq) throw new RangeError(`record ${fromSeq} is no longer in the journal`)
      yield* readJournal(pool, tail, fromSeq, Math.min(toSeq, durableSeq))
    },
    async retire(beforeSeq, ages) {
      const retired = await retireJournal(pool, beforeSeq, ages)
      await poll()
      return retired
    },
    peek: look,
    poll,
    get firstSeq() { return firstSeq },
    get lastSeq() { return durableSeq },
    get durableSeq() { return durableSeq },
    get pending() { return inFlight.size },
    get fault() { return undefined },
    async close() {
      closed = true
      await stopPolling?.()
      await running
    },
  }
}

/** A record as readers get it, without its review's objects. */
function placed({ entry, lines }: OnItsWay, seq: number): Recorded {
  const record: Recorded = { ...entry, seq, lines: withSeq(seq, lines) }
  if (record.review && record.lines) readReviewLater(record, record.lines)
  return record
}

/** Look-ups of the same moment share one query. */
function lookUpTogether(pool: Pool): (eventId: string) => Promise<FoundRow | undefined> {
  let ids = new Set<string>()
  let asking: Promise<Map<string, FoundRow>> | undefined
  const ask = async (): Promise<Map<string, FoundRow>> => {
    await nextTurn()
    const asked = [...ids]
    ids = new Set()
    asking = undefined
    const found = new Map<string, FoundRow>()
    for (let i = 0; i < asked.length; i += IDS_PER_LOOK) {
      const { rows } = await pool.query<FoundRow>({ name: 'journal-find', text: 'SELECT * FROM journal_find($1)', values: [asked.slice(i, i + IDS_PER_LOOK)] })
      for (const row of rows) found.set(row.event_id, row)
    }
    return found
  }
  return async (eventId) => {
    ids.add(eventId)
    return (await (asking ??= ask())).get(eventId)
  }
}

/** Polls until it is stopped; one that fails is tried again. */
function pollOften(poll: () => Promise<void>, everyMs: number, onFault: (fault: unknown, attempt: number) => void): () => Promise<void> {
  const stop = new AbortController()
  const polling = (async () => {
    let failed = 0
    for (;;) {
      await sleep(everyMs, undefined, { signal: stop.signal, ref: false }).catch(() => undefined)
      if (stop.signal.aborted) return
      failed = await poll().then(() => 0, (fault: unknown) => { onFault(fault, failed + 1); return failed + 1 })
    }
  })()
  return async () => { stop.abort(); await polling }
}
