import { describe, expect, it } from 'vitest'
import type { Engine, Processed, Raw } from '../../../src/pipeline/engine.js'
import { replayLines, type ReplaySinks } from '../../../src/pipeline/replay.js'
import { morning } from '../../fixtures/morning.js'
import { replayEngine, shippedRulebook } from '../../support/engine.js'

async function* lines(texts: readonly string[]): AsyncGenerator<string> { for (const text of texts) { await Promise.resolve(); yield text } }
interface Seen { sinks: ReplaySinks; decided: string[]; rejected: [line: number, status: number, path: string | undefined][]; progress: number[] }
function watch(): Seen {
  const seen: Omit<Seen, 'sinks'> = { decided: [], rejected: [], progress: [] }
  return {
    ...seen,
    sinks: {
      decided: (bytes) => { seen.decided.push(bytes) }, progress: (n) => { seen.progress.push(n) },
      rejected: (line, status, errors) => { seen.rejected.push([line, status, errors[0]?.path]) },
    },
  }
}
const texts = (): string[] => morning().map((e) => JSON.stringify(e))
const accepted = (eventId: string): Processed => ({ kind: 'accepted', eventId, duplicate: false })

describe('a replay', () => {
  it('gives the same bytes for the same input, always, and counts what it did', async () => {
    const runs = await Promise.all([1, 2].map(async (key) => {
      const seen = watch()
      const counts = await replayLines(lines(texts()), await replayEngine(await shippedRulebook(), key), { backfill: false, sinks: seen.sinks })
      return { decided: seen.decided, counts }
    }))
    expect(runs[1]).toEqual(runs[0])
    expect(runs[0]?.counts).toMatchObject({ lines: morning().length, decided: 10, counted: morning().length - 10, duplicates: 0, rejected: 0 })
    expect(runs[0]?.decided.map((bytes) => (JSON.parse(bytes) as { event_id: string }).event_id)).toEqual(morning().filter((e) => e.type === 'booking.requested').map((e) => e.event_id))
  })

  it('goes on over bad lines, blank lines and repeats, and names each by its number', async () => {
    const [first = '', second = ''] = texts()
    const seen = watch()
    const conflict = second.replace('"order_id":"o-bot-1"', '"order_id":"o-other"')
    const counts = await replayLines(lines([first, '', '{"event_id":', '  ', second, second, conflict, '{"event_id":"x","type":"slot.queried","occurred_at":"yesterday"}']),
      await replayEngine(await shippedRulebook()), { backfill: false, sinks: seen.sinks })
    expect(counts).toMatchObject({ lines: 8, decided: 1, counted: 1, duplicates: 1, rejected: 3 })
    expect(seen.rejected).toEqual([[3, 400, ''], [7, 409, '/event_id'], [8, 400, '/occurred_at']])
  })

  it('hands lines over in order, many before it waits, and asks for its pace before each', async () => {
    const handed: string[] = []
    let inHand = 0, most = 0
    const engine: Engine = {
      async process({ body }) {
        handed.push(body as string)
        most = Math.max(most, ++inHand)
        await new Promise(setImmediate)
        inHand--
        return accepted('e')
      },
    }
    const paced: string[] = []
    const input = Array.from({ length: 600 }, (_, i) => `line ${i}`)
    const counts = await replayLines(lines(input), engine, { backfill: true, sinks: watch().sinks, pace: (raw) => { paced.push(raw); return Promise.resolve() } })
    expect([handed, paced, counts.counted]).toEqual([input, input, 600])
    expect(most).toBeGreaterThan(50)
  })

  it('says of every line that it is of the past when it is', async () => {
    const raws: Raw[] = []
    await replayLines(lines(['{}']), { process: (raw) => { raws.push(raw); return Promise.resolve(accepted('e')) } }, { backfill: true, sinks: watch().sinks })
    expect(raws).toEqual([{ body: '{}', backfill: true }])
  })

  it('hands a line over again when the engine had no room for it', async () => {
    let full = 2
    const engine: Engine = { process: () => Promise.resolve(full-- > 0 ? { kind: 'overloaded', retryAfterMs: 1 } : accepted('e')) }
    expect(await replayLines(lines(['a', 'b', 'c']), engine, { backfill: true, sinks: watch().sinks })).toMatchObject({ lines: 3, counted: 3 })
  })

  it('ends with the fault of a store, and leaves no other rejection unhandled', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown): void => { unhandled.push(reason) }
    process.on('unhandledRejection', note)
    const engine: Engine = { process: () => Promise.reject(new Error('disk full')) }
    await expect(replayLines(lines(['a', 'b', 'c']), engine, { backfill: true, sinks: watch().sinks })).rejects.toThrow('disk full')
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
})
