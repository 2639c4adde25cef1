import { describe, expect, it } from 'vitest'
import type { PositionStore } from '../../../src/ports/journal.js'

/** What every store of positions does. `fixture` gives one empty state each time; `open` as a restarted process has it. */
export function positionsSuite(fixture: () => Promise<{ open: () => Promise<PositionStore> }>): void {
  describe('a store of positions', () => {
    it('begins at nothing for a reader never seen before', async () => {
      const positions = await (await fixture()).open()
      expect(await positions.load('history')).toEqual({ done: 0 })
    })

    it('gives back what was saved last, reader by reader, after a restart too', async () => {
      const { open } = await fixture()
      const positions = await open()
      await positions.load('history')
      await positions.save('history', { done: 4, intent: { from: 5, to: 9 } })
      await positions.save('decisions', { done: 2 })
      expect(await positions.load('history')).toEqual({ done: 4, intent: { from: 5, to: 9 } })
      await positions.save('history', { done: 9 })
      const again = await open()
      expect([await again.load('history'), await again.load('decisions')]).toEqual([{ done: 9 }, { done: 2 }])
    })

    it('keeps positions beyond what 32 bits hold', async () => {
      const { open } = await fixture()
      await (await open()).save('history', { done: 2 ** 45, intent: { from: 2 ** 45 + 1, to: 2 ** 45 + 2 } })
      expect(await (await open()).load('history')).toEqual({ done: 2 ** 45, intent: { from: 2 ** 45 + 1, to: 2 ** 45 + 2 } })
    })
  })
}
