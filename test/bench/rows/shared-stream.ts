import { setTimeout as sleep } from 'node:timers/promises'
import { TOPICS } from '../../../src/ports/event-log.js'
import { readDecisions } from '../decisions.js'
import { against, scaledBar, type BenchOptions, type Figure, type RowResult } from '../figures.js'
import { openOutside, type Outside } from '../outside.js'
import type { Product } from '../processes.js'
import { profileNotes } from '../profile.js'
import { releaseMinute } from '../release-minute.js'
import { cpuBetween, startServers, untilDelivered, type CpuUs, type Servers } from '../servers.js'

const LOOK_EVERY_MS = 200

/** One look at how far it is. */
interface Look { atMs: number; lag: number; decided: number }

/** A backlog on `booking-events`, bookings and what follows them, through one stream worker over four servers until its lag is 0. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const bookings = options.quick ? 4_000 : 60_000
  const servers = await startServers()
  const outside = await openOutside(servers.brokers)
  try {
    await prime(servers)
    const events = releaseMinute({ seed: 21, wave: 1, startMs: Date.now() - 180_000, bookings, spreadMs: 60_000 })
    await outside.send(events)
    const worker = await servers.start('stream', options, 'shared-stream')
    const before = servers.cpuUs(worker)
    const looks = await untilDrained(outside)
    const cpu = cpuBetween(before, servers.cpuUs(worker), (looks.at(-1)?.decided ?? NaN) - (looks[0]?.decided ?? NaN))
    const deliveredMs = await untilDelivered([worker])
    await worker.stop()
    return { ...await resultOf(outside, { events: events.length, requests: events.filter((e) => e.scored).length }, looks, cpu, options, worker, deliveredMs) }
  } finally {
    await outside.close()
    await servers.stop()
  }
}

/** Tables, topics and counters are made by a process that reads no stream: what is measured is not a first start. */
export async function prime(servers: Servers): Promise<void> {
  const first = await servers.start('api')
  await first.stop()
}

/** Looks until nothing is left to be read and all that was decided is published. */
async function untilDrained(outside: Outside): Promise<Look[]> {
  const began = performance.now()
  const looks: Look[] = []
  for (;;) {
    const [lag, decided] = await Promise.all([outside.lag(), outside.count(TOPICS.decisions)])
    const [last] = looks.slice(-1)
    looks.push({ atMs: performance.now() - began, lag, decided })
    if (lag === 0 && last?.lag === 0 && last.decided === decided) return looks
    await sleep(LOOK_EVERY_MS)
  }
}

async function resultOf(
  outside: Outside, sent: { events: number; requests: number }, looks: readonly Look[], cpu: CpuUs, options: BenchOptions, worker: Product, deliveredMs: number,
): Promise<RowResult> {
  const decisions = await readDecisions(outside)
  // The first to see everything done counts; the one after it only made sure.
  const done = looks.find((look) => look.lag === 0 && look.decided >= sent.requests) ?? looks.at(-1)
  const [first] = looks
  const seconds = ((done?.atMs ?? NaN) - (first?.atMs ?? NaN)) / 1000
  const perSecond = ((done?.decided ?? NaN) - (first?.decided ?? NaN)) / seconds
  const part = (what: keyof CpuUs): Figure => ({ what: `  ${what}`, value: cpu[what], unit: 'us' })
  return {
    row: 'shared-stream', title: `${sent.events.toLocaleString('en-US')} events waiting on Kafka, one stream worker, Redis, PostgreSQL, ClickHouse over HTTP`,
    figures: [
      { what: 'bookings decided and published', value: perSecond, unit: '/s', bar: scaledBar(5_000, options.fastify?.perSecond), beyond: scaledBar(8_000, options.fastify?.perSecond),
        ...against('events', perSecond * sent.events / sent.requests, '/s') },
      { what: 'bookings with no decision on the topic', value: sent.requests - decisions.byEvent.size, unit: '', bar: 0, atMost: true, ...against('sent', sent.requests, '') },
      { what: 'decided twice, differently', value: decisions.different, unit: '', bar: 0, atMost: true, ...against('messages', decisions.messages, '') },
      { what: 'lag at the end', value: done?.lag ?? NaN, unit: 'messages', bar: 0, atMost: true, ...against('at the beginning', first?.lag ?? NaN, 'messages') },
      { what: 'history complete after the lag was 0', value: deliveredMs / 1000, unit: 's' },
      { what: 'CPU of a booking and what follows it', value: cpu.node + cpu.redis + cpu.postgres + cpu.kafka + cpu.clickhouse, unit: 'us' },
      part('node'), part('node main thread'), part('redis'), part('postgres'), part('kafka'), part('clickhouse'),
    ],
    outcomes: decisions.outcomes,
    notes: [
      `marked degraded: ${decisions.degraded}; start to ready ${(worker.readyMs / 1000).toFixed(1)} s`,
      `decided over time: ${progressOf(looks)}`,
      ...profileNotes(options, 'shared-stream'),
    ],
  }
}

/** Bookings per second in each tenth of the run: whether it holds. */
function progressOf(looks: readonly Look[]): string {
  const tenth = Math.max(1, Math.floor(looks.length / 10))
  const marks = looks.filter((_, i) => i % tenth === 0)
  return marks.slice(1).map((look, i) => `${Math.round(1000 * (look.decided - (marks[i]?.decided ?? 0)) / (look.atMs - (marks[i]?.atMs ?? 0)))}/s`).join(' ')
}
