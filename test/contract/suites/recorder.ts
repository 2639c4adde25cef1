import { describe, expect, it } from 'vitest'
import type { Hold } from '../../../src/domain/hold.js'
import type { Recorded } from '../../../src/domain/record.js'
import type { EnforcementStore } from '../../../src/ports/enforcement-store.js'
import type { Effects, Found, Recorder } from '../../../src/ports/recorder.js'
import { anEntry, bare, range, type Entry } from '../../support/journal-entries.js'
import { aHold } from './enforcement-store.js'

/** A recorder over one empty state, the holds it places, and what it recorded, in order. */
export interface RecorderFixture { recorder: Recorder; holds: Pick<EnforcementStore, 'get'>; records: () => Promise<Recorded[]> }

/** What a found record says, without its bytes and position. */
export const said = (found: Found | undefined): Partial<Recorded> | 'forgotten' | undefined => {
  if (found === undefined || found === 'forgotten') return found
  return { ...bare(found), seq: 0 }
}

export const placing = (...holds: Hold[]): Effects => ({ holds, cancellations: [] })
export const cancelling = (orderId: string, at = aHold('x').placedAt + 1): Effects => ({ holds: [], cancellations: [{ orderId, reason: 'booking.cancelled', at }] })
/** Placed after what `cancelling` says. */
const LATER = { placedAt: aHold('x').placedAt + 2 }

/** Records a burst; each answer in its place. */
export const recordAll = (recorder: Recorder, entries: readonly Entry[], effects?: Effects): Promise<(Found | undefined)[]> =>
  Promise.all(entries.map((entry) => recorder.record(entry, effects)))

/** What every recorder does, alone or among others. */
export function recorderSuite(fixture: () => Promise<RecorderFixture>): void {
  describe('a recorder', () => {
    it('finds what it recorded, the decision byte for byte, and nothing else', async () => {
      const { recorder } = await fixture()
      expect(await recordAll(recorder, range(1, 9).map((n) => anEntry(n)))).toEqual(range(1, 9).map(() => undefined))
      for (const n of range(1, 9)) expect(said(await recorder.find(`e-${n}`, `hash-${n}`))).toEqual({ seq: 0, ...anEntry(n) })
      expect(await recorder.find('e-10', 'hash-10')).toBeUndefined()
      expect([recorder.pending, recorder.fault]).toEqual([0, undefined])
    })

    it('records in the order it was called in, without gaps', async () => {
      const { recorder, records } = await fixture()
      const order = range(1, 700).map((n) => (n * 389) % 701)
      await recordAll(recorder, order.map((n) => anEntry(n)))
      expect((await records()).map((r) => [r.seq, r.event.eventId])).toEqual(order.map((n, i) => [i + 1, `e-${n}`]))
    })

    it('shows another body under the same id as a conflict', async () => {
      const { recorder } = await fixture()
      await recorder.record(anEntry(3), undefined)
      expect(await recorder.find('e-3', 'another')).toMatchObject({ bodyHash: 'hash-3' })
    })

    it('knows an event while it is on its way, and tells once it is durable and enforced', async () => {
      const { recorder, holds } = await fixture()
      const recording = recorder.record(anEntry(3), placing(aHold('1')))
      expect(recorder.pending).toBe(1)
      const found = await recorder.find('e-3', 'hash-3')
      expect(said(found)).toEqual({ seq: 0, ...anEntry(3) })
      expect((await holds.get('1'))?.status).toBe('active')
      await recording
    })

    it('has placed the hold of a record by the time it says so', async () => {
      const { recorder, holds } = await fixture()
      await recorder.record(anEntry(3), placing(aHold('1')))
      expect(await holds.get('1')).toEqual({ ...aHold('1'), status: 'active' })
    })

    it('ends a hold with the cancellation that follows it, and not with the one before it, within one burst', async () => {
      const { recorder, holds } = await fixture()
      await Promise.all([
        recorder.record(anEntry(1), cancelling('o-a')), recorder.record(anEntry(2), placing(aHold('a', LATER), aHold('b'))),
        recorder.record(anEntry(3), cancelling('o-b')), recorder.record(anEntry(4), placing(aHold('b2', { orderId: 'o-b', ...LATER }))),
      ])
      expect(await Promise.all(['a', 'b', 'b2'].map(async (id) => (await holds.get(id))?.status))).toEqual(['active', 'cancelled', 'active'])
    })
  })
}
