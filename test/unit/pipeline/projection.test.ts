import { describe, expect, it } from 'vitest'
import { createMemoryJournal } from '../../../src/adapters/memory/journal.js'
import { startProjection, type Projection, type ProjectionOptions } from '../../../src/pipeline/projection.js'
import type { Journal, Position, PositionStore } from '../../../src/ports/journal.js'
import { appendAll } from '../../contract/suites/journal.js'
import { anEntry, range } from '../../support/journal-entries.js'

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Positions that remember every save: what a crash at any moment would leave. */
function positionsAt(position: Position = { done: 0 }): PositionStore & { saved: Position[] } {
  const saved = [position]
  return { saved, load: () => Promise.resolve(saved.at(-1) ?? { done: 0 }), save: (_, next) => { saved.push(next); return Promise.resolve() } }
}

async function journalOf(count: number): Promise<Journal> {
  const journal = createMemoryJournal({ keep: true })
  await appendAll(journal, range(1, count).map((n) => anEntry(n)))
  return journal
}

interface Sink { tokens: string[]; seqs: number[] }
async function start(journal: Pick<Journal, 'read' | 'firstSeq' | 'durableSeq'>, changes: Partial<ProjectionOptions> = {}): Promise<Sink & { projection: Projection }> {
  const sink: Sink = { tokens: [], seqs: [] }
  const projection = await startProjection({
    name: 'history', journal, positions: positionsAt(), upTo: () => journal.durableSeq, maxBatch: 10, lingerMs: 0, backOff: turn, onRetry: () => undefined, sleep: turn,
    apply: (records, token) => { sink.tokens.push(token); sink.seqs.push(...records.map((r) => r.seq)); return Promise.resolve() }, ...changes,
  })
  return { projection, ...sink }
}

describe('a projection', () => {
  it('carries everything over once, in order, in full batches, and writes each range down before it works on it', async () => {
    const positions = positionsAt()
    const { projection, tokens, seqs } = await start(await journalOf(25), { positions })
    await projection.stop({ drain: true })
    expect(tokens).toEqual(['history:1-10', 'history:11-20', 'history:21-25'])
    expect(seqs).toEqual(range(1, 25))
    expect(positions.saved.slice(1)).toEqual([
      { done: 0, intent: { from: 1, to: 10 } }, { done: 10 }, { done: 10, intent: { from: 11, to: 20 } }, { done: 20 }, { done: 20, intent: { from: 21, to: 25 } }, { done: 25 },
    ])
    expect(projection.done).toBe(25)
  })

  it('after a crash works on the very same range under the same token, although there is more by now', async () => {
    const { projection, tokens } = await start(await journalOf(25), { positions: positionsAt({ done: 3, intent: { from: 4, to: 7 } }), maxBatch: 100 })
    await projection.stop({ drain: true })
    expect(tokens).toEqual(['history:4-7', 'history:8-25'])
  })

  it('waits with a range that is not enforced again yet, and stops all the same', async () => {
    let enforced = 5
    const positions = positionsAt({ done: 3, intent: { from: 4, to: 7 } })
    const { projection, tokens } = await start(await journalOf(25), { positions, upTo: () => enforced })
    await turn()
    expect(tokens).toEqual([])
    enforced = 7
    await turn()
    await turn()
    expect(tokens).toEqual(['history:4-7'])
    enforced = 6
    await projection.stop({ drain: true })
    expect(projection.done).toBe(7)
  })

  it('lets nothing out that is not enforced', async () => {
    const { projection, seqs } = await start(await journalOf(25), { upTo: () => 12 })
    await projection.stop({ drain: true })
    expect(seqs).toEqual(range(1, 12))
  })

  it('tries a failed range again, the same, until the store takes it', async () => {
    const tokens: string[] = []
    const attempts: number[] = []
    const { projection } = await start(await journalOf(15), {
      apply: (_, token) => { tokens.push(token); return tokens.length <= 2 ? Promise.reject(new Error('away')) : Promise.resolve() }, onRetry: (_, attempt) => { attempts.push(attempt) },
    })
    while (projection.done < 15) await turn()
    expect(tokens).toEqual(['history:1-10', 'history:1-10', 'history:1-10', 'history:11-15'])
    expect(attempts).toEqual([1, 2])
    await projection.stop()
  })

  it('gives up after a few tries when it has to stop while the store is away; the rest comes after the next start', async () => {
    let tries = 0
    const positions = positionsAt()
    const { projection } = await start(await journalOf(15), { positions, apply: () => { tries++; return Promise.reject(new Error('away')) } })
    await projection.stop({ drain: true })
    expect(projection.done).toBe(0)
    expect(tries).toBeLessThan(10)
    const { projection: next, tokens } = await start(await journalOf(20), { positions })
    await next.stop({ drain: true })
    expect(tokens).toEqual(['history:1-10', 'history:11-20'])
  })

  it('begins with the first record there still is when its position was lost', async () => {
    const journal = await journalOf(25)
    const { projection, seqs } = await start({ read: (from, to) => journal.read(from, to), firstSeq: 21, durableSeq: 25 })
    await projection.stop({ drain: true })
    expect(seqs).toEqual(range(21, 25))
  })

  it('goes on with what comes later', async () => {
    const journal = await journalOf(3)
    const { projection, seqs } = await start(journal)
    while (projection.done < 3) await turn()
    await appendAll(journal, range(4, 6).map((n) => anEntry(n)))
    while (projection.done < 6) await turn()
    expect(seqs).toEqual(range(1, 6))
    await projection.stop()
  })
})
