import { isDeepStrictEqual } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { TOPICS } from '../../../src/ports/event-log.js'
import type { Decision } from '../../../src/domain/decision.js'
import { readDecisions, type Published } from '../decisions.js'
import { against, quantile, type BenchOptions, type Figure, type RowResult } from '../figures.js'
import { openOutside } from '../outside.js'
import { profileNotes } from '../profile.js'
import { InFlight, type Flight, type RelatedEvent } from '../related.js'
import { releaseMinute, type WireEvent } from '../release-minute.js'
import { startServers, untilDelivered, type Servers } from '../servers.js'
import { prime } from './shared-stream.js'

/** The first is what the others are compared with; a second run with one worker shows what the order of six partitions alone makes of it. */
const WORKERS = [1, 1, 2, 4]
/** Below what two cores can do with four workers: what is asked is who was on the way beside whom, not how long a queue grew. */
const EVENTS_PER_S = 350
const SETTLE_MS = 3_000
const PROBE_AFTER_MS = 60_000

type Features = Record<string, unknown>

interface Outcome {
  workers: number
  sentAt: Map<string, number>
  published: Published
  /** Of each probe, by name. */
  probes: Features[]
  /** From an event sent to its decision published, milliseconds. */
  tookMs: Float64Array
}

/** The same log through 1, 2 and 4 stream workers, each time over empty stores, sent at the same pace in the same order. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const events = releaseMinute({ seed: 51, wave: 1, startMs: Date.now() - 300_000, bookings: options.quick ? 600 : 5_000, spreadMs: 60_000 })
  const probes = probesOf(events, options.quick ? 40 : 250)
  const outcomes: Outcome[] = []
  for (const workers of WORKERS) outcomes.push(await runWith(workers, events, probes, options))
  return resultOf(outcomes, events, options)
}

async function runWith(workers: number, events: readonly WireEvent[], probes: readonly string[], options: BenchOptions): Promise<Outcome> {
  const servers = await startServers()
  const outside = await openOutside(servers.brokers)
  try {
    await prime(servers)
    const isProfiled = workers === WORKERS.at(-1)
    const all = await Promise.all(Array.from({ length: workers }, (_, n) => n === 0 && isProfiled ? servers.start('stream', options, 'workers') : servers.start('stream')))
    // Until each has its partitions.
    await sleep(SETTLE_MS)
    const sentAt = await outside.send(events, EVENTS_PER_S)
    const requests = events.filter((e) => e.scored).length
    for (const deadline = Date.now() + 120_000; Date.now() < deadline && (await outside.lag() > 0 || await outside.count(TOPICS.decisions) < requests);) await sleep(100)
    await untilDelivered(all)
    await Promise.all(all.map((worker) => worker.stop()))
    const published = await readDecisions(outside)
    const took = [...published.byEvent].map(([id, { at }]) => at - (sentAt.get(id) ?? NaN))
    return { workers, sentAt, published, probes: await ask(servers, probes), tookMs: Float64Array.from(took) }
  } finally {
    await outside.close()
    await servers.stop()
  }
}

/** New bookings of people, devices and slots of the log, a minute after it: what their features are is what the counters and chains are. */
function probesOf(events: readonly WireEvent[], count: number): string[] {
  const requests = events.filter((e) => e.scored)
  const afterMs = (events.at(-1)?.at ?? 0) + PROBE_AFTER_MS
  const step = Math.max(1, Math.floor(requests.length / count))
  return requests.filter((_, i) => i % step === 0).map(({ json }, i) => {
    const body = JSON.parse(json) as Record<string, unknown>
    return JSON.stringify({ ...body, event_id: `probe-${i}`, order_id: `probe-order-${i}`, occurred_at: new Date(afterMs + i).toISOString() })
  })
}

/** One after the other, so that each run counts them in the same order. */
async function ask(servers: Servers, probes: readonly string[]): Promise<Features[]> {
  const [score, review] = [await servers.key('booking_core'), await servers.key('reviewer')]
  const api = await servers.start('api')
  const features: Features[] = []
  for (const [i, body] of probes.entries()) {
    const answer = await fetch(`${api.url}/v1/score`, { method: 'POST', headers: { authorization: `Bearer ${score}`, 'content-type': 'application/json' }, body })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`a probe got ${answer.status}: ${text.slice(0, 200)}`)
    if ((JSON.parse(text) as Decision).degraded.length > 0) throw new Error('a probe was decided without counters')
    const seen = await (await fetch(`${api.url}/v1/decisions/probe-${i}`, { headers: { authorization: `Bearer ${review}` } })).json() as { review: { features: Features } }
    features.push(seen.review.features)
  }
  await api.stop()
  return features
}

/** What CONTRACT section 2 calls deciding alike. */
const essence = ({ outcome, basis, score, reasons, degraded, versions }: Decision): unknown => ({ outcome, basis, score, reasons: reasons.map(({ code }) => code), degraded, versions })

interface Difference { id: string; from: Decision; to: Decision; related: RelatedEvent | undefined }

/** Marked so: that is no matter of order, but of a store that was away or a machine that was far too busy. */
const isBlind = ({ from, to }: Difference): boolean => from.degraded.length + to.degraded.length > 0

function differences(base: Outcome, other: Outcome, inFlight: InFlight): Difference[] {
  return [...base.published.byEvent].flatMap(([id, { decision: from }]) => {
    const to = other.published.byEvent.get(id)?.decision
    if (!to || isDeepStrictEqual(essence(from), essence(to))) return []
    // One of the two had it otherwise: whoever was beside it in either.
    return [{ id, from, to, related: inFlight.relatedTo(id, flightsOf(base)) ?? inFlight.relatedTo(id, flightsOf(other)) }]
  })
}

/** An event without a decision of its own is seen by nobody; it is taken to be on its way for as long as most decisions were. */
function flightsOf({ sentAt, published, tookMs }: Outcome): (id: string) => Flight {
  const usualMs = quantile(tookMs, 0.99)
  return (id) => {
    const fromMs = sentAt.get(id) ?? NaN
    return { fromMs, toMs: published.byEvent.get(id)?.at ?? fromMs + usualMs }
  }
}

function resultOf(outcomes: readonly Outcome[], events: readonly WireEvent[], options: BenchOptions): RowResult {
  const [base, ...others] = outcomes
  if (!base) throw new Error('nothing was run')
  const requests = events.filter((e) => e.scored)
  const inFlight = new InFlight(events)
  const compared = others.map((other) => ({ other, found: differences(base, other, inFlight), counters: counterDifferences(base.probes, other.probes) }))
  const none = (what: string, value: number): Figure => ({ what, value, unit: '', bar: 0, atMost: true })
  const whole = outcomes.map((o) => requests.filter(({ id }) => o.published.byEvent.has(id)).length)
  return {
    row: 'workers', title: `the same ${events.length.toLocaleString('en-US')} events at ${EVENTS_PER_S}/s through ${WORKERS.slice(1).join(', ')} stream workers, against 1; six partitions, empty stores each time`,
    figures: [
      none('bookings without a decision, all runs', outcomes.reduce((sum, _, i) => sum + requests.length - (whole[i] ?? 0), 0)),
      none('decided twice, differently, all runs', outcomes.reduce((sum, o) => sum + o.published.different, 0)),
      ...compared.flatMap(({ other: { workers }, found, counters }): Figure[] => [
        none(`${workers}: features of ${base.probes.length} probes that differ`, counters.length),
        { what: `${workers}: bookings decided as with 1`, value: 100 * (1 - found.length / requests.length), unit: '%', bar: 99.9, beyond: 99.99, ...against('differ', found.length, '') },
        { what: `${workers}: of these decided without counters in one of the runs`, value: found.filter(isBlind).length, unit: '' },
        none(`${workers}: of the others with no related event in flight`, found.filter((d) => !isBlind(d) && !d.related).length),
      ]),
    ],
    outcomes: base.published.outcomes,
    notes: [
      ...outcomes.map((o) => `${o.workers}: sent to published p50 ${quantile(o.tookMs, 0.5)}, p99 ${quantile(o.tookMs, 0.99)} ms; ${o.published.messages} messages, marked degraded ${o.published.degraded}`),
      ...compared.flatMap(({ other: { workers }, counters }) => describeCounters(counters).map((line) => `${workers}: ${line}`)),
      ...compared.flatMap(({ other: { workers }, found }) => found.filter((d) => !isBlind(d)).slice(0, 30).map((difference) => `${workers}: ${describe(difference)}`)),
      ...profileNotes(options, 'workers'),
    ],
  }
}

interface CounterDifference { probe: number; name: string; from: unknown; to: unknown }

function counterDifferences(base: readonly Features[], other: readonly Features[]): CounterDifference[] {
  return base.flatMap((features, probe) => {
    const names = new Set([...Object.keys(features), ...Object.keys(other[probe] ?? {})])
    return [...names].map((name) => ({ probe, name, from: features[name], to: other[probe]?.[name] })).filter(({ from, to }) => !isDeepStrictEqual(from, to))
  })
}

/** How often each feature differs, with one example. */
function describeCounters(found: readonly CounterDifference[]): string[] {
  return [...new Set(found.map(({ name }) => name))].map((name) => {
    const all = found.filter((one) => one.name === name), [first] = all
    return `${name} differs ${all.length} times; probe-${first?.probe ?? ''} has ${String(first?.to)}, with 1 ${String(first?.from)}`
  })
}

function describe({ id, from, to, related }: Difference): string {
  const say = ({ outcome, score, reasons }: Decision): string => [outcome, score ?? '', ...reasons.map(({ code }) => code)].filter((part) => part !== '').join(' ')
  return `${id}: ${say(to)}, with 1 ${say(from)}; ${related ? `${related.id} (${related.shared}) was sent ${Math.abs(related.apartMs)} ms ${related.apartMs < 0 ? 'before' : 'after'} it` : 'NO RELATED EVENT IN FLIGHT'}`
}
