import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { watchCounters, type CounterWatch, type WatchOptions } from '../../../src/pipeline/counter-watch.js'
import { CounterWorld } from './counter-world.js'

const EVERY_MS = 10
const watches: CounterWatch[] = []
afterEach(async () => { await Promise.all(watches.splice(0).map((watch) => watch.stop())) })

async function watchOf(world: CounterWorld, changes: Partial<WatchOptions> = {}): Promise<CounterWatch> {
  const sleep = (ms: number, signal: AbortSignal): Promise<void> => delay(ms, undefined, { signal })
  const watch = await watchCounters({ marks: world.marks, ledger: world.ledger, layout: 'l', everyMs: EVERY_MS, sleep, ...changes })
  watches.push(watch)
  return watch
}

/** Two servers that are whole over ten records, with nobody to fill them. */
async function wholeWorld(): Promise<CounterWorld> {
  const world = new CounterWorld(2)
  const keeper = world.keep()
  await world.untilWhole()
  for (let i = 0; i < 10; i++) await world.take()
  while (world.standing?.watermark !== 10) await new Promise(setImmediate)
  await keeper.stop()
  return world
}

describe('the watch over shared counters', () => {
  it('knows at once, when it begins, whether they are whole and what is counted into', async () => {
    const nothing = await watchOf(new CounterWorld(2))
    expect([nothing.whole, nothing.generation]).toEqual([false, undefined])
    const watch = await watchOf(await wholeWorld())
    expect([watch.whole, watch.generation]).toEqual([true, 'g1'])
  })

  it.each<[string, (world: CounterWorld) => void]>([
    ['one server was emptied', (world) => { world.wipe(1) }],
    ['a server was started anew', (world) => { world.restart(0) }],
    ['a mark is behind', (world) => { const part = world.parts[0]; if (part) part.mark = 'g1 9' }],
    ['a filling is under way', (world) => { if (world.standing) world.standing.ready = false }],
    ['an event is still to be counted', (world) => { void world.record(11, undefined) }],
    ['there are counters of nobody in the ledger', (world) => { world.standing = undefined }],
    ['the store is away', (world) => { world.away = true }],
  ])('says within a period that they are not whole: %s', async (_what, happen) => {
    const world = await wholeWorld()
    const watch = await watchOf(world)
    expect(watch.whole).toBe(true)
    happen(world)
    await delay(3 * EVERY_MS)
    expect(watch.whole).toBe(false)
  })

  it('takes marks ahead of the ledger as they come: the keeper writes them first', async () => {
    const world = await wholeWorld()
    for (const part of world.parts) part.mark = 'g1 12'
    expect((await watchOf(world)).whole).toBe(true)
  })

  it('reads the ledger before the marks: what moves in between is no alarm', async () => {
    const world = await wholeWorld()
    let moved = 10
    const move = (): void => { moved++; for (const part of world.parts) part.mark = `g1 ${moved}`; if (world.standing) world.standing.watermark = moved }
    const ledger = { load: async () => { const standing = await world.ledger.load('l'); move(); return standing } }
    const watch = await watchOf(world, { ledger })
    for (let i = 0; i < 5; i++) { expect(watch.whole).toBe(true); await delay(EVERY_MS) }
  })

  it('does not trust a look that began before a suspicion', async () => {
    const world = await wholeWorld()
    let answer = (): void => undefined
    let asked = 0
    const marks = { read: async () => {
      if (++asked === 2) await new Promise<void>((done) => { answer = done })
      return world.marks.read()
    } }
    const watch = await watchOf(world, { marks })
    while (asked < 2) await delay(1)
    watch.suspect()
    expect(watch.whole).toBe(false)
    answer()
    await new Promise(setImmediate)
    expect([watch.whole, asked]).toEqual([false, 2])
    await delay(3 * EVERY_MS)
    expect(watch.whole).toBe(true)
  })

  it('is over when it is stopped', async () => {
    const world = await wholeWorld()
    const watch = await watchOf(world)
    await watch.stop()
    world.wipe(0)
    await delay(3 * EVERY_MS)
    expect(watch.whole).toBe(true)
  })
})
