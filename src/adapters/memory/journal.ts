import type { Recorded } from '../../domain/record.js'
import type { Journal } from '../../ports/journal.js'

/**
 * A journal for `replay` and tests. Without `keep` it remembers only what tells a repeat (ids with their body hashes): `find`
 * gives a record without decision, review and details, and nothing can be read.
 */
export function createMemoryJournal({ keep = false } = {}): Journal {
  const records: Recorded[] = []
  const known = new Map<string, Recorded>()
  let seq = 0
  let closed = false
  return {
    find: (eventId) => { const record = known.get(eventId); return record && Promise.resolve(record) },
    append(entry) {
      if (closed) throw new Error('the journal is closed')
      const record: Recorded = { seq: ++seq, ...entry }
      if (keep) records.push(record)
      const { eventId, type, occurredAt } = record.event
      known.set(eventId, keep ? record : { seq, acceptedAt: record.acceptedAt, bodyHash: record.bodyHash, event: { eventId, type, occurredAt } })
      return { seq, durable: Promise.resolve() }
    },
    async *read(fromSeq, toSeq = seq) {
      await Promise.resolve()
      if (!keep) throw new Error('this journal keeps no records to read')
      const chunk = records.slice(fromSeq - 1, toSeq)
      if (chunk.length > 0) yield chunk
    },
    // Memory is given back when the process ends, not before.
    retire: () => Promise.resolve(0),
    firstSeq: 1,
    get lastSeq() { return seq },
    get durableSeq() { return seq },
    pending: 0,
    fault: undefined,
    close() {
      closed = true
      return Promise.resolve()
    },
  }
}
