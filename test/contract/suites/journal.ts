import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Recorded } from '../../../src/domain/record.js'
import type { Journal } from '../../../src/ports/journal.js'
import { anEntry, bare, range, type Entry } from '../../support/journal-entries.js'

export type JournalReader = Pick<Journal, 'read' | 'firstSeq'>

/** All records, without their bytes. */
export async function readAll(journal: JournalReader, fromSeq = journal.firstSeq, toSeq?: number): Promise<Recorded[]> {
  const records: Recorded[] = []
  for await (const chunk of journal.read(fromSeq, toSeq)) records.push(...chunk.map(bare))
  return records
}

/** Appends `entries` as one burst and waits until they are durable. */
export const appendAll = async (journal: Journal, entries: readonly Entry[]): Promise<number[]> => {
  const appended = entries.map((entry) => journal.append(entry))
  await Promise.all(appended.map(({ durable }) => durable))
  return appended.map(({ seq }) => seq)
}

/** What every reader of a journal can rely on. `open` gives a fresh, empty one each time; `fill` resolves once its entries are durable and seen. */
export function readingSuite(open: () => Promise<{ reader: JournalReader; fill: (entries: readonly Entry[]) => Promise<unknown> }>): void {
  describe('reading', () => {
    it('gives back what was appended, the decision byte for byte', async () => {
      const { reader, fill } = await open()
      const entries = range(1, 9).map((n) => anEntry(n))
      await fill(entries)
      expect(await readAll(reader)).toEqual(entries.map((entry, i) => ({ seq: i + 1, ...entry })))
    })

    it('takes both ends in, and gives nothing beyond what is durable', async () => {
      const { reader, fill } = await open()
      await fill(range(1, 9).map((n) => anEntry(n)))
      expect((await readAll(reader, 3, 5)).map((r) => r.seq)).toEqual([3, 4, 5])
      expect((await readAll(reader, 9, 99)).map((r) => r.seq)).toEqual([9])
      expect(await readAll(reader, 10)).toEqual([])
    })
  })
}

/** What every journal of one process does. `open` gives a fresh, empty one each time. */
export function journalSuite(open: () => Promise<Journal>): void {
  describe('appending', () => {
    it('hands out positions from 1 without gaps, in call order', async () => {
      const journal = await open()
      expect([journal.firstSeq, journal.lastSeq, journal.durableSeq]).toEqual([1, 0, 0])
      expect(await appendAll(journal, range(1, 5).map((n) => anEntry(n)))).toEqual([1, 2, 3, 4, 5])
      expect([journal.firstSeq, journal.lastSeq, journal.durableSeq, journal.pending]).toEqual([1, 5, 5, 0])
    })

    it('settles in order, and nothing before it is durable', async () => {
      const journal = await open()
      const settled: number[] = []
      const appended = range(1, 50).map((n) => journal.append(anEntry(n)))
      await Promise.all(appended.map(({ seq, durable }) => durable.then(() => {
        expect(journal.durableSeq).toBeGreaterThanOrEqual(seq)
        settled.push(seq)
      })))
      expect(settled).toEqual(range(1, 50))
    })

    it('is refused after closing', async () => {
      const journal = await open()
      await appendAll(journal, [anEntry(1)])
      await journal.close()
      expect(() => journal.append(anEntry(2))).toThrow('closed')
    })
  })

  describe('finding', () => {
    it('knows an id from the moment of its append, and answers once it is durable', async () => {
      const journal = await open()
      const { seq } = journal.append(anEntry(3))
      const found = journal.find('e-3')
      expect(found).toBeDefined()
      expect(bare(await found)).toEqual({ seq, ...anEntry(3) })
      expect(journal.durableSeq).toBe(1)
    })

    it('knows nothing of an id that never came', async () => {
      const journal = await open()
      await appendAll(journal, [anEntry(1)])
      expect(journal.find('e-2')).toBeUndefined()
    })

    it('gives the newest record of an id', async () => {
      const journal = await open()
      await appendAll(journal, [anEntry(1), anEntry(2), anEntry(1, { bodyHash: 'another' })])
      expect(await journal.find('e-1')).toMatchObject({ seq: 3, bodyHash: 'another' })
    })
  })

  readingSuite(async () => {
    const journal = await open()
    return { reader: journal, fill: (entries) => appendAll(journal, entries) }
  })

  it('is a plain list with an index, whatever comes in whatever bursts', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.array(fc.nat(12), { maxLength: 8 }), { maxLength: 12 }), fc.nat(20), async (bursts, from) => {
      const journal = await open()
      const list: Recorded[] = []
      for (const burst of bursts) {
        const entries = burst.map((n, i) => anEntry(n, { bodyHash: `${list.length + i}` }))
        const seqs = await appendAll(journal, entries)
        entries.forEach((entry, i) => { list.push({ seq: seqs[i] ?? 0, ...entry }) })
      }
      expect(await readAll(journal)).toEqual(list)
      expect(await readAll(journal, from + 1)).toEqual(list.slice(from))
      for (const n of range(0, 12)) expect(bare(await journal.find(`e-${n}`))).toEqual(list.findLast((r) => r.event.eventId === `e-${n}`))
      await journal.close()
    }), { numRuns: 40 })
  })
}
