import { scaledBar, type BenchOptions, type Figure, type RowResult } from '../figures.js'
import { cpuUsOf, scratchDir, startLoad, startProduct } from '../processes.js'
import { releaseMinute } from '../release-minute.js'

const DAY = 86_400_000
const PER_CALL = 4_000

/** How long the product is away after a kill -9 with a million events behind it, and how long counting them all again takes. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const wanted = options.quick ? 50_000 : 1_000_000
  const dir = scratchDir()
  let product = await startProduct(dir.path)
  try {
    const filledMs = await fill(product.url, product.key('admin'), wanted)
    const load = startLoad(() => product.pid)
    const live = await load.round({ url: product.url, key: product.key('booking_core'), connections: 64, seconds: options.seconds,
      wave: { seed: 7, wave: 10_000, startMs: Date.now() - 60_000, bookings: 800 * options.seconds, spreadMs: 55_000 } })
    await load.stop()
    await product.stop('SIGKILL')
    product = await startProduct(dir.path)
    const readyMs = product.readyMs
    const rebuilt = await rebuild(product.url, product.key('admin'), product.pid)
    // In peace, so that the embedded PostgreSQL ends with it.
    await product.stop()
    return {
      row: 'start', title: `kill -9 under load with ${wanted.toLocaleString('en-US')} events of history, everything embedded`, outcomes: live.outcomes,
      figures: [
        timeFigure('start to /readyz', readyMs / 1000, 10, 5, options),
        { ...timeFigure(`full rebuild of ${rebuilt.events.toLocaleString('en-US')} events`, rebuilt.seconds, 60, 30, options), against: { what: 'CPU', value: rebuilt.cpuSeconds, unit: 's' } },
        { what: 'back-fill of them (POST /v1/admin/backfill)', value: 1000 * wanted / filledMs, unit: 'events/s' },
      ],
    }
  } finally {
    await product.stop('SIGKILL')
    dir.close()
  }
}

/** Bars in seconds grow where the machine is slower than the reference. */
function timeFigure(what: string, seconds: number, bar: number, beyond: number, options: BenchOptions): Figure {
  const slower = 1 / scaledBar(1, options.fastify?.perSecond)
  return { what, value: seconds, unit: 's', bar: bar * slower, beyond: beyond * slower, atMost: true }
}

/** Sixty days of a city as back-fill. Resolves with the milliseconds it took. */
async function fill(url: string, key: string, wanted: number): Promise<number> {
  const perDay = Math.ceil(wanted / 60 / 2.6)
  const now = Date.now()
  let spentMs = 0
  let sent = 0
  for (let day = 60; sent < wanted; day--) {
    const lines = releaseMinute({ seed: 7, wave: day, startMs: now - Math.max(day, 1) * DAY, bookings: perDay, spreadMs: DAY / 2 }).map(({ json }) => json)
    for (let at = 0; at < lines.length && sent < wanted; at += PER_CALL) {
      const part = lines.slice(at, Math.min(at + PER_CALL, at + wanted - sent))
      const before = performance.now()
      await post(`${url}/v1/admin/backfill`, key, 'application/x-ndjson', part.join('\n'))
      spentMs += performance.now() - before
      sent += part.length
    }
  }
  return spentMs
}

async function post(url: string, key: string, type: string, body: string): Promise<string> {
  for (;;) {
    const response = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': type }, body, signal: AbortSignal.timeout(280_000) })
    const text = await response.text()
    if (response.status === 200) return text
    // What was taken of it counts once, so the whole may come again.
    if (response.status !== 429 && response.status !== 503) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 300)}`)
    await new Promise((done) => { setTimeout(done, 1000) })
  }
}

/** `zhenhao rebuild`, as it asks a server that holds the data directory. */
async function rebuild(url: string, key: string, pid: number): Promise<{ events: number; seconds: number; cpuSeconds: number }> {
  const cpuBefore = cpuUsOf(pid).main
  const before = performance.now()
  const { events } = JSON.parse(await post(`${url}/v1/admin/rebuild`, key, 'application/json', '{}')) as { events: number }
  return { events, seconds: (performance.now() - before) / 1000, cpuSeconds: (cpuUsOf(pid).main - cpuBefore) / 1e6 }
}
