import type { Recorded } from '../../ports/history-store.js'
import type { Journal } from '../../ports/journal.js'

/**
 * A journal for `replay` and tests: it remembers ids with their body hashes, and nothing else unless `keep` is set.
 * With `keep` false only what tells a repeat is remembered: `find` gives a record without decision, review and details.
 */
export function createMemoryJournal({ keep = false } = {}): Journal {
  const records: Recorded[] = []
  const known = new Map<string, Recorded>()
  let seq = 0
  return {
    find: (eventId) => { const record = known.get(eventId); return record && Promise.resolve(record) },
    append(entry) {
      const record: Recorded = { seq: ++seq, ...entry }
      if (keep) records.push(record)
      const { eventId, type, occurredAt } = record.event
      known.set(eventId, keep ? record : { seq, acceptedAt: record.acceptedAt, bodyHash: record.bodyHash, event: { eventId, type, occurredAt } })
      return { seq, durable: Promise.resolve() }
    },
    async *read(fromSeq, toSeq = seq) { await Promise.resolve(); yield records.slice(fromSeq - 1, toSeq) },
    firstSeq: 1,
    get lastSeq() { return seq },
    get durableSeq() { return seq },
    pending: 0,
    close: () => Promise.resolve(),
  }
}
