import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { city } from '../../../src/simulate/city.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heapMb = (): number => { collect(); return process.memoryUsage().heapUsed / 2 ** 20 }

/** Forty days of 1,500 bookings a day: 60,000 bookings, 500,000 events. Once the farthest visits are booked, memory stays where it is. */
const [DAYS, WARM_DAYS, MOST_GROWTH_MB] = [40, 20, 6]

it(`needs the memory of its open orders, not of its days: under ${MOST_GROWTH_MB} MB more after ${DAYS} days than after ${WARM_DAYS}`, { timeout: 120_000 }, () => {
  const start = Date.parse('2026-03-02T00:00:00+08:00')
  const sizes: number[] = []
  let day = 0
  for (const { at } of city({ days: DAYS + 1, seed: 3, bookingsPerDay: 1_500, hospitals: 30 })) {
    const today = Math.floor((at - start) / 86_400_000)
    if (today === day) continue
    day = today
    // At one hour of the day: what is planned for the day is there.
    if (day >= WARM_DAYS && day % 5 === 0) sizes.push(heapMb())
  }
  const [warm = 0] = sizes, last = sizes.at(-1) ?? Infinity
  expect(sizes.length).toBe(5)
  expect(last - warm).toBeLessThan(MOST_GROWTH_MB)
  expect(last).toBeLessThan(200)
})
