import { crc32 } from 'node:zlib'
import { readDecisions, type Published } from '../decisions.js'
import { against, scaledBar, type BenchOptions, type RowResult } from '../figures.js'
import type { OpenResult, OpenRound } from '../open-load.js'
import { openOutside } from '../outside.js'
import { startOpenLoad } from '../processes.js'
import { profileNotes } from '../profile.js'
import { startServers, untilDelivered } from '../servers.js'

/** More than the seats at the door, so that it is the product that turns away, and not the load that waits. */
const CONNECTIONS = 3_000
const TIMES_AVERAGE = 20
/** The peak over the most that the process was seen to answer. */
const OVER = 1.3
/** Up to far too much: what it holds is found out on the way. */
const RAMP_PER_S = [250, 500, 1_000, 1_500, 2_000, 3_000, 4_000]
const WAVE = 50

/** 20 times the average for a minute, more than one process can do: nobody is lost, and whoever is turned away is told so and gets through later. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const peakS = options.quick ? 8 : 60
  const servers = await startServers()
  const load = startOpenLoad()
  const outside = await openOutside(servers.brokers)
  try {
    const key = await servers.key('booking_core')
    const product = await servers.start('api,stream', options, 'release-second')
    const round = async (wave: number, stretches: OpenRound['stretches'], againForMs = 0): Promise<OpenResult> => {
      const bookings = Math.ceil(1.1 * stretches.reduce((sum, { perSecond, seconds }) => sum + perSecond * seconds, 0)) + 100
      const go = await load.prepare({ url: product.url, key, connections: CONNECTIONS, againForMs, stretches, wave: { seed: 41, wave, startMs: Date.now() - 60_000, bookings, spreadMs: 55_000 } })
      const result = await go()
      await untilDelivered([product], 300_000)
      return result
    }
    let capacity = 0
    for (const [wave, perSecond] of RAMP_PER_S.entries()) {
      const { decided, seconds } = await round(wave, [{ perSecond, seconds: options.quick ? 2 : 5, measured: true }])
      capacity = Math.max(capacity, decided / seconds)
    }
    const peak = Math.ceil(OVER * capacity), average = Math.ceil(peak / TIMES_AVERAGE)
    const result = await round(WAVE, [
      { perSecond: average, seconds: 5, measured: false }, { perSecond: peak, seconds: peakS, measured: true }, { perSecond: average, seconds: 10, measured: false },
    ], 120_000)
    const published = await readDecisions(outside)
    await product.stop()
    return resultOf({ result, published, capacity, peak, average, peakS }, options)
  } finally {
    await Promise.all([load.stop(), outside.close()])
    await servers.stop()
  }
}

interface Seen { result: OpenResult; published: Published; capacity: number; peak: number; average: number; peakS: number }

function resultOf({ result, published, capacity, peak, average, peakS }: Seen, options: BenchOptions): RowResult {
  const ours = [...published.byEvent].filter(([id]) => id.startsWith(`e-41-${WAVE}-`))
  const digest = ours.reduce((sum, [, { bytes }]) => (sum + crc32(bytes)) % 2 ** 32, 0)
  const { statuses } = result
  const tries = Object.values(statuses).reduce((sum, n) => sum + n, 0)
  const [ok = 0, limited = 0, away = 0] = ['200', '429', '503'].map((status) => statuses[status])
  const none = (what: string, value: number, against?: { what: string; value: number; unit: string }) => ({ what, value, unit: '', bar: 0, atMost: true as const, ...(against ? { against } : {}) })
  return {
    row: 'release-second', title: `${average}/s, then ${peak}/s for ${peakS} s, then ${average}/s, on one process; whoever is turned away comes again as told`,
    figures: [
      { what: 'p99 of those answered with 200', value: result.p99Ms, unit: 'ms', bar: 250 / scaledBar(1, options.fastify?.perSecond), atMost: true, ...against('p50', result.p50Ms, 'ms') },
      { what: 'turned away with 429 or 503', value: 100 * (limited + away) / tries, unit: '% of tries', ...against('tries', tries, '') },
      none('tries with another answer, or none', tries - ok - limited - away),
      none('turned away without Retry-After', result.withoutRetryAfter),
      none('never decided', result.undecided, { what: 'requests', value: result.requests, unit: '' }),
      none('decided, but not on the topic', result.decided - ours.length, { what: 'on the topic', value: ours.length, unit: '' }),
      none('answers that are not those on the topic (0 or 1)', digest === result.digest ? 0 : 1),
      none('decided twice, differently', published.different),
      { what: 'most answered with 200 before', value: capacity, unit: '/s', ...against('peak now', peak, '/s') },
      { what: 'load generator', value: 100 * result.cpuShare, unit: '% of a core', ...against('late, p99', result.latenessMs.p99, 'ms') },
    ],
    outcomes: result.outcomes,
    notes: [
      `statuses of all tries: ${JSON.stringify(statuses)}; most in flight ${result.mostInFlight} on ${result.mostConnections} connections; last answer after ${result.seconds.toFixed(0)} s; marked degraded: ${published.degraded}`,
      ...profileNotes(options, 'release-second'),
    ],
  }
}
