import { expect, it } from 'vitest'
import { runChaos } from '../chaos/chaos.js'
import { startKafka } from '../support/kafka.js'

it('loses nothing and doubles nothing when it is killed amid 3,000 events on both roads', async ({ skip }) => {
  const broker = await startKafka()
  if (broker === undefined) { skip(); return }
  try {
    // Visits are so near that holds end with them, well within the test.
    const report = await runChaos({ brokers: broker.brokers, events: 3_000, kills: 1, killAfterLoad: false, perSecond: 250, seed: 20261122, visitInMs: 22_000 })
    expect(report.violations, report.output.slice(-2_000)).toEqual([])
    expect(report).toMatchObject({ lost: 0, doubled: 0, kills: [{ recoveryMs: expect.any(Number) as number }] })
    expect(report.decided).toBe(report.requests)
    for (const [way, least] of [['released', 10], ['rejected', 10], ['expired', 10], ['cancelled', 10]] as const) expect(report.ended[way] ?? 0, way).toBeGreaterThanOrEqual(least)
  } finally {
    await broker.stop()
  }
}, 240_000)
