import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PAGE_BYTES } from '../../src/adapters/memory/log-arena.js'
import { loadSnapshot, saveSnapshot } from '../../src/adapters/memory/snapshot-file.js'
import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import { isBookingRequest, type BookingEvent } from '../../src/domain/event.js'
import { assembleFeatures } from '../../src/scoring/features.js'
import { observe } from '../../src/scoring/observe.js'
import { layoutOf } from '../../src/scoring/plan.js'
import type { Rulebook } from '../../src/scoring/score.js'
import { shippedRulebook } from '../support/engine.js'
import { LONG_TIMES_MS, START_MS, streams } from '../support/event-streams.js'

let root = ''
let files = 0
let rulebook: Rulebook
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'snapshot-'))
  rulebook = await shippedRulebook()
})
afterAll(() => rm(root, { recursive: true }))

const emptyStore = (): MemoryVelocityStore => new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
const freshPath = (): string => join(root, `velocity-${++files}.snapshot`)
const settled = (): Promise<void> => Promise.resolve()

/** Counts events and gives the features that each request saw. */
function count(store: MemoryVelocityStore, events: readonly BookingEvent[]): unknown[] {
  return events.flatMap((event) => {
    const observed = store.run(observe(rulebook.plan, event))
    return observed && isBookingRequest(event) ? [{ id: event.eventId, features: assembleFeatures(event, observed), saturated: observed.saturated }] : []
  })
}
const SAMPLE = fc.sample(streams(LONG_TIMES_MS, 16), { numRuns: 60, seed: 42 }).map((stream, i) => stream.map((e): BookingEvent => ({ ...e, eventId: `${i}-${e.eventId}` })))
/** Events of the first `n` streams of the sample. */
const events = (n: number): BookingEvent[] => SAMPLE.slice(0, n).flat()

const CROWD_TYPES = ['booking.requested', 'booking.confirmed', 'booking.requested', 'patient.bound', 'booking.cancelled', 'account.logged_in'] as const

/** Events of so many people that their logs fill several pages; every third comes back to somebody known. No key is hot. */
function crowd(n: number): BookingEvent[] {
  return Array.from({ length: n }, (_, i): BookingEvent => {
    const token = (i % 3 === 0 ? i >> 2 : i).toString(16).padStart(8, '0').padEnd(32, 'e')
    const slot = { hospitalId: 'h-1', scheduleId: `s-${i >> 5}`, slotId: `${i >> 4}`, doctorId: `d-${i >> 6}` }
    return {
      eventId: `${i}`, type: CROWD_TYPES[i % 6] ?? 'slot.queried', occurredAt: START_MS + i * 500, orderId: `o-${i >> 2}`, channel: { id: `c-${i % 200}`, kind: 'app' },
      account: { token }, device: { token }, payer: { token }, patient: { token, idType: '01' }, slot,
    }
  })
}

describe('a snapshot', { timeout: 120_000 }, () => {
  it('brought back in a new store, with the events since, gives the features of a run that was never interrupted', async () => {
    await fc.assert(fc.asyncProperty(streams(LONG_TIMES_MS, 40), fc.double({ min: 0, max: 1, noNaN: true }), async (stream, share) => {
      const path = freshPath()
      const cut = Math.floor(stream.length * share)
      const original = emptyStore()
      count(original, stream.slice(0, cut))
      // Events go on while the snapshot is written; what they change must not get into it.
      const saving = saveSnapshot(original, cut, path, settled)
      const expected = count(original, stream.slice(cut))
      await saving
      const restored = emptyStore()
      expect(await loadSnapshot(restored, path)).toBe(cut)
      expect(count(restored, stream.slice(cut))).toEqual(expected)
      expect(restored.size.entities).toBe(original.size.entities)
    }), { numRuns: 40 })
  })

  it('of many pages, written slowly while thousands of events go on, is the state at its position and nothing later', async () => {
    const path = freshPath()
    const all = crowd(12_000)
    const cut = Math.floor(all.length / 2)
    const [original, uninterrupted] = [emptyStore(), emptyStore()]
    count(original, all.slice(0, cut))
    expect(original.size.bytes).toBeGreaterThan(2 * PAGE_BYTES)
    const saving = saveSnapshot(original, cut, path, settled)
    for (let at = cut; at < all.length; at += 100) {
      count(original, all.slice(at, at + 100))
      await new Promise(setImmediate)
    }
    await saving
    const restored = emptyStore()
    expect(await loadSnapshot(restored, path)).toBe(cut)
    count(uninterrupted, all.slice(0, cut))
    expect(restored.size.entities).toBe(uninterrupted.size.entities)
    expect(count(restored, all.slice(cut))).toEqual(count(uninterrupted, all.slice(cut)))
  })

  it('never stands for events that did not become durable: the one before stays', async () => {
    const path = freshPath()
    const store = emptyStore()
    const [first, second] = [events(20), events(30)]
    count(store, first)
    await saveSnapshot(store, 5, path, settled)
    const before = await readFile(path)
    count(store, second)
    await expect(saveSnapshot(store, 9, path, () => Promise.reject(new Error('disk full')))).rejects.toThrow('disk full')
    expect((await readFile(path)).equals(before)).toBe(true)
    expect((await readdir(root)).filter((name) => name.endsWith('.new'))).toEqual([])
    expect(await loadSnapshot(emptyStore(), path)).toBe(5)
  })

  it('that cannot be written leaves the store as it was, and the next one works', async () => {
    const store = emptyStore()
    count(store, events(20))
    await expect(saveSnapshot(store, 1, join(root, 'no-such-directory', 'x'), settled)).rejects.toThrow('ENOENT')
    const path = freshPath()
    await saveSnapshot(store, 2, path, settled)
    expect(await loadSnapshot(emptyStore(), path)).toBe(2)
  })

  it('that is missing, cut short, damaged anywhere, or of another file altogether counts as none', async () => {
    const path = freshPath()
    const store = emptyStore()
    count(store, events(20))
    await saveSnapshot(store, 7, path, settled)
    const bytes = await readFile(path)
    expect(await loadSnapshot(emptyStore(), freshPath())).toBe(0)
    for (const length of [0, 7, 11, 100, bytes.length - 1]) {
      await writeFile(path, bytes.subarray(0, length))
      expect(await loadSnapshot(emptyStore(), path)).toBe(0)
    }
    for (const at of [0, 5, 9, 20, 1_000, bytes.length - 5]) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 0x10
      await writeFile(path, damaged)
      const empty = emptyStore()
      expect([at, await loadSnapshot(empty, path), empty.size.entities]).toEqual([at, 0, 0])
    }
    await writeFile(path, bytes)
    expect(await loadSnapshot(emptyStore(), path)).toBe(7)
  })

  it('that is ahead of the journal, or made for other counters, is not used', async () => {
    const path = freshPath()
    const store = emptyStore()
    count(store, events(20))
    await saveSnapshot(store, 7, path, settled)
    expect([await loadSnapshot(emptyStore(), path, 6), await loadSnapshot(emptyStore(), path, 7)]).toEqual([0, 7])
    const other = new MemoryVelocityStore({ layout: { ...layoutOf(rulebook.plan), version: 'another' } })
    expect([await loadSnapshot(other, path), other.size.entities]).toEqual([0, 0])
  })
})
