import { mkdtemp, readdir, readFile, rm, stat, symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openFileJournal, type FileJournalOptions } from '../../src/adapters/file/journal.js'
import { createMemoryJournal } from '../../src/adapters/memory/journal.js'
import type { Journal } from '../../src/ports/journal.js'
import { readRecord } from '../../src/domain/record.js'
import { anEntry, bare, range } from '../support/journal-entries.js'
import { appendAll, journalSuite, readAll } from './suites/journal.js'

describe('the journal in memory', () => {
  journalSuite(() => Promise.resolve(createMemoryJournal({ keep: true })))

  it('of a replay remembers just enough to tell a repeat, and says so when asked for more', async () => {
    const journal = createMemoryJournal()
    await appendAll(journal, [anEntry(3)])
    expect(await journal.find('e-3')).toEqual({ seq: 1, acceptedAt: anEntry(3).acceptedAt, bodyHash: 'hash-3', event: { eventId: 'e-3', type: 'booking.paid', occurredAt: anEntry(3).acceptedAt } })
    await expect(readAll(journal)).rejects.toThrow('keeps no records')
  })
})

describe('the journal in files', () => {
  let root = ''
  let dirs = 0
  beforeAll(async () => { root = await mkdtemp(join(tmpdir(), 'journal-')) })
  afterAll(() => rm(root, { recursive: true }))
  const freshDir = (): string => join(root, String(++dirs))
  /** Segments of a few records, and a tail so short that most reads go to the files. */
  const openIn = (dir: string, options: Partial<FileJournalOptions> = {}): Promise<Journal> => open({ dir, segmentBytes: 1_000, tailRecords: 4, ...options })
  const opened: Journal[] = []
  afterEach(async () => { for (const journal of opened.splice(0)) await journal.close() })
  async function open(options: FileJournalOptions): Promise<Journal> {
    const journal = await openFileJournal(options)
    opened.push(journal)
    return journal
  }
  const filesIn = async (dir: string, ending: string): Promise<string[]> => (await readdir(dir)).filter((name) => name.endsWith(ending)).sort()
  const entries = (from: number, to: number): ReturnType<typeof anEntry>[] => range(from, to).map((n) => anEntry(n))
  /** A closed journal of `count` records, two to a burst, so that there are many segments. */
  async function filled(count: number): Promise<string> {
    const dir = freshDir()
    const journal = await openIn(dir)
    for (let n = 1; n <= count; n += 2) await appendAll(journal, entries(n, Math.min(n + 1, count)))
    await journal.close()
    return dir
  }
  async function expectWhole(journal: Journal, count: number): Promise<void> {
    expect(await readAll(journal)).toEqual(range(1, count).map((n) => ({ seq: n, ...anEntry(n) })))
    for (const n of range(1, count)) expect(bare(await journal.find(`e-${n}`))).toEqual({ seq: n, ...anEntry(n) })
    expect(journal.find(`e-${count + 1}`)).toBeUndefined()
  }

  describe('of one segment', () => { journalSuite(() => open({ dir: freshDir() })) })
  describe('of many segments', () => { journalSuite(() => openIn(freshDir())) })

  it('is after a restart as it was, and goes on where it ended', async () => {
    const dir = await filled(40)
    const again = await openIn(dir)
    expect((await filesIn(dir, '.journal')).length).toBeGreaterThan(5)
    await expectWhole(again, 40)
    expect(await appendAll(again, entries(41, 44))).toEqual([41, 42, 43, 44])
    await again.close()
    await expectWhole(await openIn(dir), 44)
  })

  it('writes a burst of more records than one call to the system takes, in order and whole', async () => {
    const dir = freshDir()
    const journal = await open({ dir })
    expect(await appendAll(journal, entries(1, 2_500))).toEqual(range(1, 2_500))
    expect(await filesIn(dir, '.journal')).toHaveLength(1)
    await journal.close()
    await expectWhole(await open({ dir }), 2_500)
  })

  it('gives every record with its bytes, from memory and from the files alike', async () => {
    const journal = await openIn(freshDir())
    await appendAll(journal, entries(1, 12))
    const seen: number[] = []
    for await (const chunk of journal.read(1)) {
      for (const record of chunk) {
        expect(record.lines && bare(readRecord(record.lines))).toEqual(bare(record))
        seen.push(record.seq)
      }
    }
    expect(seen).toEqual(range(1, 12))
  })

  it('is whole again without its index files, and with damaged ones', async () => {
    const dir = await filled(30)
    const [first, second, third] = await filesIn(dir, '.index')
    await unlink(join(dir, first ?? ''))
    await truncate(join(dir, second ?? ''), 20)
    const bytes = await readFile(join(dir, third ?? ''))
    bytes[12] = (bytes[12] ?? 0) ^ 1
    await writeFile(join(dir, third ?? ''), bytes)
    await expectWhole(await openIn(dir), 30)
    expect(await loadedFromIndex(dir, first ?? '')).toBe(true)
  })
  /** The index was written again, so that the next start need not read the segment. */
  const loadedFromIndex = async (dir: string, file: string): Promise<boolean> => (await stat(join(dir, file))).size > 0

  it('cuts a torn last record off, wherever it is torn', async () => {
    const dir = freshDir()
    const journal = await open({ dir })
    await appendAll(journal, entries(1, 4))
    const [file = ''] = await filesIn(dir, '.journal')
    const before = (await stat(join(dir, file))).size
    await appendAll(journal, entries(5, 5))
    await journal.close()
    const bytes = await readFile(join(dir, file))
    for (let length = before; length < bytes.length; length += 7) {
      await writeFile(join(dir, file), bytes.subarray(0, length))
      const again = await open({ dir })
      expect(again.durableSeq).toBe(4)
      await expectWhole(again, 4)
      await again.close()
      expect((await stat(join(dir, file))).size).toBe(before)
    }
    const last = await open({ dir })
    await appendAll(last, entries(5, 6))
    await last.close()
    await expectWhole(await open({ dir }), 6)
  })

  it('takes zeros that a power cut left at the end for a torn record', async () => {
    const dir = await filled(3)
    const file = join(dir, (await filesIn(dir, '.journal')).at(-1) ?? '')
    await writeFile(file, Buffer.concat([await readFile(file), Buffer.alloc(4_096)]))
    await expectWhole(await openIn(dir), 3)
  })

  it('does not open over damage that whole records follow, or with a file missing: acknowledged records would be lost', async () => {
    const dir = await filled(1)
    const journal = await open({ dir })
    await appendAll(journal, entries(2, 5))
    await journal.close()
    const file = join(dir, (await filesIn(dir, '.journal'))[0] ?? '')
    const bytes = await readFile(file)
    bytes[40] = (bytes[40] ?? 0) ^ 1
    await writeFile(file, bytes)
    await expect(open({ dir })).rejects.toThrow(`${file} is damaged at byte 0`)

    const holed = await filled(30)
    const [, second = ''] = await filesIn(holed, '.journal')
    await unlink(join(holed, second))
    await unlink(join(holed, `${second}.index`))
    await expect(openIn(holed)).rejects.toThrow(`a file is missing from ${holed}`)
  })

  it('says which record is damaged when it is read', async () => {
    const dir = await filled(30)
    const [first = ''] = await filesIn(dir, '.journal')
    const bytes = await readFile(join(dir, first))
    bytes[40] = (bytes[40] ?? 0) ^ 1
    await writeFile(join(dir, first), bytes)
    await expect(readAll(await openIn(dir))).rejects.toThrow(`record 1 in ${join(dir, first)} is damaged`)
  })

  it('gives a reader that runs beside a writer every record once, in order', async () => {
    const journal = await openIn(freshDir(), { segmentBytes: 5_000 })
    const seen: number[] = []
    const reading = (async () => {
      while (seen.length < 600) {
        for await (const chunk of journal.read(seen.length + 1)) seen.push(...chunk.map((r) => r.seq))
        await new Promise(setImmediate)
      }
    })()
    for (let n = 1; n <= 600; n += 5) {
      void appendAll(journal, entries(n, n + 4))
      await new Promise(setImmediate)
    }
    await reading
    expect(seen).toEqual(range(1, 600))
    await journal.close()
  })

  it('once the disk is full gives nothing out that is not on it, refuses every later append, and says why', async () => {
    const dir = freshDir()
    const faults: Error[] = []
    const journal = await openIn(dir, { segmentBytes: 1, onFault: (fault) => { faults.push(fault) } })
    await appendAll(journal, entries(1, 2))
    // The next segment's name leads to a device that is always full: a real ENOSPC from the kernel.
    const next = join(dir, '000000000003.journal')
    await symlink('/dev/full', next)
    const [third, fourth] = [journal.append(anEntry(3)), journal.append(anEntry(4))]
    await expect(third.durable).rejects.toMatchObject({ cause: { code: 'ENOSPC' } })
    await expect(fourth.durable).rejects.toThrow('cannot be written')
    expect(journal.fault?.message).toContain('cannot be written')
    expect(faults).toEqual([journal.fault])
    expect(() => journal.append(anEntry(5))).toThrow('cannot be written')
    await expect(journal.find('e-3')).rejects.toThrow('cannot be written')
    expect([journal.durableSeq, (await readAll(journal)).length]).toEqual([2, 2])
    await journal.close()

    await unlink(next)
    const again = await openIn(dir)
    await appendAll(again, entries(3, 3))
    await expectWhole(again, 3)
  })

  describe('retiring', () => {
    const DAY_MS = 86_400_000
    const NOW = Date.parse('2026-12-20T00:00:00.000+08:00')
    const weekAgo = { records: NOW - 7 * DAY_MS, ids: NOW - 31 * DAY_MS }
    /** Gives the first `count` files with this ending an age. */
    async function age(dir: string, ending: string, count: number, days: number): Promise<void> {
      for (const [i, file] of (await filesIn(dir, ending)).entries()) {
        const seconds = (NOW - (i < count ? days : 0) * DAY_MS) / 1000
        await utimes(join(dir, file), seconds, seconds)
      }
    }

    it('gives up whole files that are old and that every reader is past, and never the last', async () => {
      const dir = await filled(30)
      const journal = await openIn(dir)
      const count = (await filesIn(dir, '.journal')).length
      await age(dir, '.journal', count, 8)
      expect(await journal.retire(1, weekAgo)).toBe(0)
      const second = Number((await filesIn(dir, '.journal'))[1]?.slice(0, 12))
      expect(await journal.retire(second, weekAgo)).toBe(second - 1)
      expect([journal.firstSeq, (await filesIn(dir, '.journal')).length]).toEqual([second, count - 1])
      await journal.retire(31, weekAgo)
      expect(await filesIn(dir, '.journal')).toHaveLength(1)
      expect((await filesIn(dir, '.index')).length).toBe(count - 1)
    })

    it('keeps what is young', async () => {
      const dir = await filled(30)
      const journal = await openIn(dir)
      await age(dir, '.journal', 2, 8)
      const third = Number((await filesIn(dir, '.journal'))[2]?.slice(0, 12))
      await journal.retire(31, weekAgo)
      expect(journal.firstSeq).toBe(third)
    })

    it('still knows the ids, before and after a restart, and asks for those records elsewhere', async () => {
      const dir = await filled(30)
      const asked: string[] = []
      const older = (id: string) => { asked.push(id); return Promise.resolve({ seq: 1, ...anEntry(1) }) }
      const journal = await openIn(dir, { older })
      await age(dir, '.journal', 3, 8)
      await journal.retire(31, weekAgo)
      const { firstSeq } = journal
      expect(firstSeq).toBeGreaterThan(3)
      expect(await journal.find('e-1')).toMatchObject({ bodyHash: 'hash-1' })
      await expect(readAll(journal, 1)).rejects.toThrow('record 1 is no longer in the journal')
      await journal.close()

      const again = await openIn(dir, { older })
      expect([again.firstSeq, again.lastSeq]).toEqual([firstSeq, 30])
      expect(await again.find('e-2')).toBeDefined()
      expect(asked).toEqual(['e-1', 'e-2'])
      expect((await readAll(again)).map((r) => r.seq)).toEqual(range(firstSeq, 30))
      expect(await again.find('e-30')).toMatchObject({ seq: 30 })
      await appendAll(again, entries(31, 31))
      expect(await again.find('e-31')).toMatchObject({ seq: 31 })
    })

    it('forgets ids only when they are older than repeats are known', async () => {
      const dir = await filled(30)
      const journal = await openIn(dir, { older: () => Promise.resolve({ seq: 1, ...anEntry(1) }) })
      await age(dir, '.journal', 3, 40)
      await age(dir, '.index', 2, 40)
      await journal.retire(31, weekAgo)
      const left = await filesIn(dir, '.index')
      const known = Number(left[0]?.slice(0, 12))
      for (const open of [journal, await openIn(dir, { older: () => Promise.resolve({ seq: 1, ...anEntry(1) }) })]) {
        expect(open.find(`e-${known - 1}`)).toBeUndefined()
        expect(await open.find(`e-${known}`)).toBeDefined()
        expect(await open.find('e-30')).toMatchObject({ seq: 30 })
      }
    })

    it('does not open when the ids of retired records are damaged: their repeats would be decided anew', async () => {
      const dir = await filled(30)
      const journal = await openIn(dir)
      await age(dir, '.journal', 1, 8)
      await journal.retire(31, weekAgo)
      await journal.close()
      const [index = ''] = await filesIn(dir, '.index')
      await truncate(join(dir, index), 9)
      await expect(openIn(dir)).rejects.toThrow(`${join(dir, index)} is damaged`)
    })
  })
})
