import { setTimeout as sleep } from 'node:timers/promises'
import { against, scaledBar, sumTallies, type BenchOptions, type Figure, type RowResult } from '../figures.js'
import type { OpenResult, OpenRound } from '../open-load.js'
import { startOpenLoad, type Driver, type Product } from '../processes.js'
import { profileNotes } from '../profile.js'
import { cpuBetween, startServers, untilDelivered, type CpuUs, type Servers } from '../servers.js'

/** More than the seats at the product's door: past its limit it turns away, and the load does not wait for it. */
const CONNECTIONS = 2_000
const STEP_PER_S = 250
const [LOW, HIGH] = [1_000, 3_000]
/** QUALITY's p99, milliseconds. */
const P99_BAR_MS = 10
/** As much of every round goes before the measured part: who comes from a quiet second has cold caches. */
const RUN_UP_S = 1

type Measured = OpenResult & { perSecond: number; cpu: CpuUs }

/** `POST /v1/score` of one process over four servers, open loop: at 1,000/s, at 3,000/s, and as fast as p99 stays under 10 ms. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const servers = await startServers()
  const load = startOpenLoad()
  try {
    const key = await servers.key('booking_core')
    const product = await servers.start('api,stream', options, 'shared-api')
    let wave = 0
    const round = (perSecond: number, seconds = options.seconds): Promise<Measured> => measure({ servers, product, load, key, wave: ++wave }, perSecond, seconds)
    for (const perSecond of [200, 500, 500, 1_000]) await round(perSecond, options.quick ? 1 : 3)
    const low = await round(LOW, options.seconds * 2)
    const climbed = await climb(round, options)
    const high = await round(HIGH, options.seconds * 2)
    await product.stop()
    return resultOf({ low, climbed, high }, options)
  } finally {
    await load.stop()
    await servers.stop()
  }
}

interface Bed { servers: Servers; product: Product; load: Driver<OpenRound, OpenResult>; key: string; wave: number }

async function measure({ servers, product, load, key, wave }: Bed, perSecond: number, seconds: number): Promise<Measured> {
  const go = await load.prepare({
    url: product.url, key, connections: CONNECTIONS, againForMs: 0,
    stretches: [{ perSecond, seconds: RUN_UP_S, measured: false }, { perSecond, seconds, measured: true }],
    wave: { seed: 31, wave, startMs: Date.now() - 60_000, bookings: Math.ceil(perSecond * (seconds + RUN_UP_S) * 1.1) + 100, spreadMs: 55_000 },
  })
  const before = servers.cpuUs(product)
  const result = await go()
  const cpu = cpuBetween(before, servers.cpuUs(product), result.requests)
  // What an overloaded round left behind must not weigh on the next.
  await untilDelivered([product])
  await sleep(300)
  return { ...result, perSecond, cpu }
}

/** Up by steps while the bar holds (down from the first rate if it does not); one miss may be a neighbour's doing, the second ends it. */
async function climb(round: (perSecond: number) => Promise<Measured>, { quick }: BenchOptions): Promise<Measured[]> {
  const rounds: Measured[] = []
  let misses = 0
  for (let perSecond = LOW; perSecond > 0 && misses < 2 && rounds.length < (quick ? 3 : 24);) {
    const measured = await round(perSecond)
    rounds.push(measured)
    if (holds(measured)) { misses = 0; perSecond += STEP_PER_S } else misses++
  }
  for (let perSecond = LOW - STEP_PER_S; perSecond > 0 && !quick && !rounds.some(holds); perSecond -= STEP_PER_S) rounds.push(await round(perSecond))
  return rounds
}

const holds = ({ p99Ms, undecided }: Measured): boolean => p99Ms < P99_BAR_MS && undecided === 0

function resultOf({ low, climbed, high }: { low: Measured; climbed: readonly Measured[]; high: Measured }, options: BenchOptions): RowResult {
  const highest = Math.max(0, ...climbed.filter(holds).map((m) => m.perSecond))
  const slower = 1 / scaledBar(1, options.fastify?.perSecond)
  const lateness = (m: Measured): NonNullable<Figure['against']> => ({ what: 'the load itself was late, p99', value: m.latenessMs.p99, unit: 'ms' })
  const part = (what: keyof CpuUs): Figure => ({ what: `  ${what}`, value: low.cpu[what], unit: 'us', ...against(`at ${HIGH}/s`, high.cpu[what], 'us') })
  return {
    row: 'shared-api', title: `POST /v1/score, open loop, one process over Redis, Kafka, PostgreSQL and ClickHouse; latency from the fixed send time, up to ${CONNECTIONS} connections`,
    figures: [
      { what: `p50 at ${LOW}/s`, value: low.p50Ms, unit: 'ms', bar: 4 * slower, atMost: true, ...against('the load itself was late, p50', low.latenessMs.p50, 'ms') },
      { what: `p99 at ${LOW}/s`, value: low.p99Ms, unit: 'ms', against: lateness(low) },
      { what: `p50 at ${HIGH}/s`, value: high.p50Ms, unit: 'ms' },
      { what: `p99 at ${HIGH}/s`, value: high.p99Ms, unit: 'ms', bar: P99_BAR_MS * slower, atMost: true, against: lateness(high) },
      { what: `most at p99 under ${P99_BAR_MS} ms`, value: highest, unit: '/s', bar: scaledBar(HIGH, options.fastify?.perSecond), beyond: scaledBar(5_000, options.fastify?.perSecond) },
      { what: `answered with 200 at ${HIGH}/s`, value: 100 * high.decided / high.requests, unit: '%', bar: 100, ...against('by the clock', high.decided / high.seconds, '/s') },
      { what: `CPU of a request at ${LOW}/s`, value: total(low.cpu), unit: 'us', ...against(`at ${HIGH}/s`, total(high.cpu), 'us') },
      part('node'), part('node main thread'), part('redis'), part('postgres'), part('kafka'), part('clickhouse'),
      { what: `load generator at ${HIGH}/s`, value: 100 * high.cpuShare, unit: '% of a core' },
    ],
    outcomes: sumTallies([low, ...climbed, high].map((m) => m.outcomes)),
    notes: [
      ...[low, ...climbed, high].map((m) => `${m.perSecond}/s for ${m.seconds.toFixed(0)} s: p50 ${m.p50Ms.toFixed(1)}, p99 ${m.p99Ms.toFixed(1)}, p99.9 ${m.p999Ms.toFixed(1)} ms; ${JSON.stringify(m.statuses)}, `
        + `most in flight ${m.mostInFlight}, main thread ${(m.cpu['node main thread'] * m.requests / m.seconds / 10_000).toFixed(0)} % of a core`),
      ...profileNotes(options, 'shared-api'),
    ],
  }
}

const total = (cpu: CpuUs): number => cpu.node + cpu.redis + cpu.postgres + cpu.kafka + cpu.clickhouse
