import { isBookingRequest } from '../../../src/domain/event.js'
import { decode } from '../../../src/scoring/decode.js'
import { countEvent, scoreRequest } from '../../../src/scoring/score.js'
import { toBookingEvent } from '../../../src/scoring/tokenise.js'
import { median, type BenchOptions, type RowResult } from '../figures.js'
import { releaseMinute } from '../release-minute.js'
import { bytesOf, cpuPerBooking, createBed, drive, type Bed, type Run } from './engine.js'

const DAY = 86_400_000
const START_MS = Date.UTC(2026, 10, 19, 23)

/** Whether a booking costs more when there is much to remember: the same traffic over 1 day of history and over 60. */
export async function run({ quick }: BenchOptions): Promise<RowResult> {
  const bookingsPerDay = quick ? 200 : 5_000
  const [young, old] = [await createBed(), await createBed()]
  for (let day = 60; day >= 1; day--) remember(day === 1 ? [young, old] : [old], day, bookingsPerDay)
  const rounds: { young: Run; old: Run }[] = []
  for (let n = 1; n <= 6; n++) {
    const events = releaseMinute({ seed: 9, wave: n, startMs: START_MS + n * 120_000, bookings: quick ? 1_000 : 6_000, spreadMs: 60_000 })
    const bytes = bytesOf(events)
    // Who goes first has the cold caches: in turns.
    const pair = n % 2 === 0 ? { young: await drive(young.engine, events, bytes), old: await drive(old.engine, events, bytes) } : undefined
    if (pair) { rounds.push(pair); continue }
    const oldRun = await drive(old.engine, events, bytes)
    rounds.push({ old: oldRun, young: await drive(young.engine, events, bytes) })
  }
  return resultOf(rounds, { young, old }, bookingsPerDay)
}

/** One day: half of its bookings when slots open, the others until the evening. */
function remember(beds: readonly Bed[], day: number, bookings: number): void {
  const startMs = START_MS - day * DAY
  const morning = releaseMinute({ seed: 9, wave: -2 * day, startMs, bookings: bookings / 2, spreadMs: 60_000 })
  const rest = releaseMinute({ seed: 9, wave: -2 * day - 1, startMs: startMs + 600_000, bookings: bookings / 2, spreadMs: DAY / 2 })
  for (const { json } of [...morning, ...rest]) {
    const decoded = decode(json)
    if (!decoded.ok) throw new Error('the bench made a bad event')
    for (const { tokeniser, velocity, rulebook } of beds) {
      const event = toBookingEvent(decoded.input, tokeniser, 'Asia/Shanghai')
      if (isBookingRequest(event)) velocity.run(scoreRequest(rulebook, event, { decidedAt: event.occurredAt, degraded: [] }))
      else velocity.run(countEvent(rulebook, event))
    }
  }
}

function resultOf(rounds: readonly { young: Run; old: Run }[], { young, old }: { young: Bed; old: Bed }, bookingsPerDay: number): RowResult {
  const kept = rounds.slice(2) // the first two warm up
  const cost = (side: 'young' | 'old'): number => median(kept.map((r) => cpuPerBooking(r[side])))
  const [sizeYoung, sizeOld] = [young.velocity.size, old.velocity.size]
  return {
    row: 'history', title: `the same bookings over 60 days of history and over 1 (${bookingsPerDay.toLocaleString('en-US')} bookings a day), engine alone`,
    figures: [
      { what: 'more CPU per booking', value: 100 * (median(kept.map((r) => cpuPerBooking(r.old) / cpuPerBooking(r.young))) - 1), unit: '%', bar: 20, atMost: true },
      { what: 'CPU of a booking, 60 days', value: cost('old'), unit: 'us', against: { what: '1 day', value: cost('young'), unit: 'us' } },
      { what: 'entities', value: sizeOld.entities, unit: '', against: { what: '1 day', value: sizeYoung.entities, unit: '' } },
      { what: 'bytes per entity', value: sizeOld.bytes / sizeOld.entities, unit: 'bytes', against: { what: '1 day', value: sizeYoung.bytes / sizeYoung.entities, unit: 'bytes' } },
    ],
    outcomes: kept.at(-1)?.old.outcomes ?? {},
  }
}
