import type { BenchOptions, RowResult } from '../figures.js'
import { startFastify, startLoad } from '../processes.js'

/** How fast this machine is now: bare Fastify, which absolute bars are scaled by. */
export async function run({ seconds }: BenchOptions): Promise<RowResult> {
  const server = await startFastify()
  const load = startLoad(() => server.pid)
  const wave = { seed: 3, startMs: Date.now() - 60_000, bookings: 20_000 * seconds, spreadMs: 55_000 }
  await load.round({ url: server.url, key: 'none', connections: 64, seconds: 1, wave: { ...wave, bookings: 20_000, wave: 0 } })
  const result = await load.round({ url: server.url, key: 'none', connections: 64, seconds: seconds / 2, wave: { ...wave, wave: 1 } })
  await load.stop()
  await server.stop()
  return { row: 'reference', title: 'bare Fastify 5, the same bodies, an 18-field schema, 64 connections', figures: [
    { what: 'requests', value: result.requests / result.seconds, unit: '/s', against: { what: 'load generator CPU', value: 100 * result.cpuShare, unit: '% of a core' } },
    { what: 'requests per second of its CPU', value: 1e6 / result.cpuUs.main, unit: '/s' },
    { what: 'p99', value: result.p99Ms, unit: 'ms' },
    { what: 'CPU of a request', value: result.cpuUs.main, unit: 'us' },
  ] }
}
