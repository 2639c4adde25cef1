import { expect, it } from 'vitest'
import { someFaults } from '../chaos/faults.js'
import { runSharedChaos } from '../chaos/shared.js'

it('loses nothing and doubles nothing when its processes and shared stores are killed amid 2,500 events', async ({ skip }) => {
  const faults = someFaults()
  // Visits are so near that holds end with them, well within the test.
  const report = await runSharedChaos({ faults, events: 2_500, perSecond: 200, seed: 20261122, visitInMs: 15_000, downMs: 1_000 })
  if (report === undefined) { skip(); return }
  expect(report.violations, report.output.slice(-3_000)).toEqual([])
  expect(report.rows.map(({ fault }) => fault)).toEqual(faults.map(({ name }) => name))
  for (const { wrong, wholeS, events } of report.rows) {
    expect(wrong).toEqual({ lost: 0, miscounted: 0, differing: 0, endedTwice: 0 })
    expect(wholeS).toEqual(expect.any(Number))
    expect(events).toBeGreaterThan(400)
  }
  expect(report.decided).toBe(report.requests)
  for (const [way, least] of [['released', 10], ['rejected', 10], ['expired', 10], ['cancelled', 10]] as const) expect(report.ended[way] ?? 0, way).toBeGreaterThanOrEqual(least)
}, 300_000)
