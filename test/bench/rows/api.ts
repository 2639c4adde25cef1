import { median, sumTallies, type BenchOptions, type RowResult } from '../figures.js'
import { scratchDir, startFastify, startLoad, startProduct, type Measured } from '../processes.js'
import { profileNotes, profilingOptions } from '../profile.js'

const CONNECTIONS = 64
/** Requests of the first round, a second; later rounds bring as many as the one before could answer. */
const FIRST_PER_SECOND = { bare: 12_000, product: 2_500 }

/** `POST /v1/score`, everything embedded, against bare Fastify: round about, so that a slow minute of the machine hits both. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const dir = scratchDir()
  const [bare, product] = await Promise.all([startFastify(), startProduct(dir.path, profilingOptions(options, 'api'))])
  const load = startLoad((url) => (url === bare.url ? bare.pid : product.pid))
  const perSecond = { ...FIRST_PER_SECOND }
  // A whole release minute each time, its gangs and its crowd, in about `seconds`: one cut short would be all gangs.
  const round = async (side: 'bare' | 'product', wave: number, seconds: number): Promise<Measured> => {
    const measured = await load.round({
      url: { bare, product }[side].url, key: product.key('booking_core'), connections: CONNECTIONS, seconds: seconds * 3,
      wave: { seed: 5, wave, startMs: Date.now() - 60_000, bookings: Math.ceil(perSecond[side] * seconds), spreadMs: 55_000 },
    })
    perSecond[side] = measured.requests / measured.seconds
    return measured
  }
  try {
    await round('bare', 0, 1)
    for (let n = -3; n < 0; n++) await round('product', n, options.quick ? 0.5 : 2)
    const rounds: { bare: Measured; product: Measured }[] = []
    for (let n = 1; n <= (options.quick ? 1 : 3); n++) rounds.push({ bare: await round('bare', n, options.seconds), product: await round('product', n, options.seconds) })
    await product.stop()
    return resultOf(rounds, options)
  } finally {
    await Promise.all([load.stop(), bare.stop(), product.stop('SIGKILL')])
    dir.close()
  }
}

function resultOf(rounds: readonly { bare: Measured; product: Measured }[], options: BenchOptions): RowResult {
  const of = (side: 'bare' | 'product', figure: (m: Measured) => number): number => median(rounds.map((r) => figure(r[side])))
  const rate = (m: Measured): number => m.requests / m.seconds
  const compared = (what: string, unit: string, figure: (m: Measured) => number) =>
    ({ what, value: of('product', figure), unit, against: { what: 'bare Fastify', value: of('bare', figure), unit } })
  const ratio = median(rounds.map((r) => 100 * rate(r.product) / rate(r.bare)))
  return {
    row: 'api', title: `POST /v1/score, embedded, ${CONNECTIONS} connections, against bare Fastify in turns; medians of ${rounds.length} rounds`,
    figures: [
      { what: 'throughput', value: ratio, unit: '% of bare', bar: 25, beyond: 45, against: { what: 'by CPU of the main thread', value: 100 * of('bare', (m) => m.cpuUs.main) / of('product', (m) => m.cpuUs.main), unit: '%' } },
      compared('requests', '/s', rate),
      compared('p50', 'ms', (m) => m.p50Ms),
      compared('p99', 'ms', (m) => m.p99Ms),
      compared('CPU of a request, main thread', 'us', (m) => m.cpuUs.main),
      compared('CPU of a request, all threads with history', 'us', (m) => m.cpuUs.all),
      compared('load generator', '% of a core', (m) => 100 * m.cpuShare),
    ],
    outcomes: sumTallies(rounds.map((r) => r.product.outcomes)),
    notes: [
      `statuses: ${JSON.stringify(sumTallies(rounds.map((r) => r.product.statuses)))}`,
      `rounds: ${rounds.map((r) => `${Math.round(rate(r.product))}/s at ${Math.round(r.product.cpuUs.main)} us against ${Math.round(rate(r.bare))}/s at ${Math.round(r.bare.cpuUs.main)} us`).join('; ')}`,
      ...profileNotes(options, 'api'),
    ],
  }
}
