import { describe, expect, it } from 'vitest'
import { createSeats, type Seats } from '../../../src/api/seats.js'

/** A server that serves `perSecond` callers, however many sit at once; callers come at `demand` a second for `seconds`. */
function serve(options: { most?: number; targetMs?: number }, loads: readonly { perSecond: number; demand: number; seconds: number }[]): { seats: Seats; tookMs: number[]; refused: number }[] {
  let nowMs = 1_000_000
  const seats = createSeats({ most: options.most ?? 1_000, targetMs: options.targetMs ?? 80, now: () => nowMs })
  const sitting: { from: number; leave: () => void }[] = []
  return loads.map(({ perSecond, demand, seconds }) => {
    const tookMs: number[] = []
    let refused = 0, arriving = 0, served = 0
    for (const end = nowMs + seconds * 1_000; nowMs < end; nowMs++) {
      for (served += perSecond / 1_000; served >= 1; served--) {
        const first = sitting.shift()
        if (!first) { served = 0; break }
        first.leave()
        tookMs.push(nowMs - first.from)
      }
      for (arriving += demand / 1_000; arriving >= 1; arriving--) {
        const leave = seats.enter()
        if (leave) sitting.push({ from: nowMs, leave })
        else refused++
      }
    }
    return { seats, tookMs, refused }
  })
}

const late = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? NaN

describe('seats', () => {
  it('refuse nobody while callers are served in time', () => {
    const [calm] = serve({}, [{ perSecond: 1_000, demand: 800, seconds: 5 }])
    expect(calm?.refused).toBe(0)
  })

  it('keep answers in time when three times as many come as can be served, and the server busy', () => {
    const [, rush] = serve({}, [{ perSecond: 1_200, demand: 3_600, seconds: 1 }, { perSecond: 1_200, demand: 3_600, seconds: 10 }])
    expect(late(rush?.tookMs ?? [])).toBeLessThan(160)
    expect(rush?.tookMs.length).toBeGreaterThan(11_900)
  })

  it('become more again when the server is faster, and not before somebody found none', () => {
    const [slow, quiet, fast] = serve({}, [
      { perSecond: 800, demand: 2_000, seconds: 5 }, { perSecond: 5_000, demand: 100, seconds: 10 }, { perSecond: 5_000, demand: 4_800, seconds: 5 },
    ])
    expect(late(slow?.tookMs.slice(1_000) ?? [])).toBeLessThan(160)
    expect(quiet?.refused).toBe(0)
    expect(fast?.refused).toBeLessThan(1_000)
  })

  it('are never fewer than 64, nor more than there are', () => {
    const [stuck] = serve({}, [{ perSecond: 80, demand: 500, seconds: 20 }])
    expect(late(stuck?.tookMs.slice(-50) ?? [])).toBeCloseTo(800, -2)
    const [few] = serve({ most: 5 }, [{ perSecond: 10_000, demand: 20_000, seconds: 2 }])
    expect(few?.tookMs.every((ms) => ms <= 1)).toBe(true)
  })

  it('stay as many as they are without a target', () => {
    const [all] = serve({ most: 50, targetMs: 0 }, [{ perSecond: 100, demand: 1_000, seconds: 10 }])
    expect(late(all?.tookMs ?? [])).toBe(500)
  })

  it('tell those who find none to come again one after the other, as fast as seats come free, within a minute', () => {
    const [, rush] = serve({}, [{ perSecond: 500, demand: 2_000, seconds: 5 }, { perSecond: 500, demand: 2_000, seconds: 1 }])
    const waits = Array.from({ length: 1_000 }, () => rush?.seats.comeAgainMs() ?? NaN)
    expect(waits[0]).toBeGreaterThanOrEqual(1_000)
    // A thousand of them at 500 a second are two seconds.
    expect((waits.at(-1) ?? NaN) - (waits[0] ?? NaN)).toBeGreaterThan(1_500)
    expect((waits.at(-1) ?? NaN) - (waits[0] ?? NaN)).toBeLessThan(2_500)
    for (let i = 0; i < 100_000; i++) rush?.seats.comeAgainMs()
    expect(rush?.seats.comeAgainMs()).toBe(60_000)
  })
})
