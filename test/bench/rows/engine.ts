import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { encodeFrame } from '../../../src/adapters/file/segment.js'
import { createMemoryJournal } from '../../../src/adapters/memory/journal.js'
import { MemoryVelocityStore } from '../../../src/adapters/memory/velocity-store.js'
import { isBookingRequest, type BookingEvent, type BookingRequest } from '../../../src/domain/event.js'
import { loadRulebook } from '../../../src/main/rules.js'
import type { Engine } from '../../../src/pipeline/engine.js'
import { createEngine } from '../../../src/pipeline/process-event.js'
import { createRecorder } from '../../../src/pipeline/recorder.js'
import { decode } from '../../../src/scoring/decode.js'
import { assembleFeatures } from '../../../src/scoring/features.js'
import { observe, type Observed } from '../../../src/scoring/observe.js'
import { layoutOf } from '../../../src/scoring/plan.js'
import { evaluate } from '../../../src/scoring/rules.js'
import { countEvent, scoreRequest, type Rulebook, type Scored } from '../../../src/scoring/score.js'
import { createTokeniser, toBookingEvent, type Tokeniser } from '../../../src/scoring/tokenise.js'
import { scaledBar, type BenchOptions, type Figure, type RowResult } from '../figures.js'
import { profiled, topSelfTimes } from '../profile.js'
import { releaseMinute, type WireEvent } from '../release-minute.js'

const ZONE = 'Asia/Shanghai'
const START_MS = Date.UTC(2026, 10, 19, 23)

export interface Bed { engine: Engine; rulebook: Rulebook; tokeniser: Tokeniser; velocity: MemoryVelocityStore }

/** The engine with counters and journal in memory and the shipped rules, as `zhenhao replay` runs it. */
export async function createBed(): Promise<Bed> {
  const rulebook = await loadRulebook('rules', [])
  const tokeniser = await createTokeniser(randomBytes(32))
  const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  const engine = createEngine({
    tokeniser, timeZone: ZONE, velocity: () => velocity, recorder: createRecorder(createMemoryJournal()), rulebook: () => rulebook, decidedAt: (event) => event.occurredAt,
  })
  return { engine, rulebook, tokeniser, velocity }
}

/** Microseconds of CPU this process spent, all threads: what a shared machine cannot distort much. */
export const cpuUs = (): number => { const { user, system } = process.cpuUsage(); return user + system }

export interface Run { bookings: number; others: number; wallUs: { bookings: number; others: number }; cpuUs: number; outcomes: Record<string, number> }

/** Gives raw bytes to the engine one by one, in order. */
export async function drive(engine: Engine, events: readonly WireEvent[], bytes: readonly Buffer[]): Promise<Run> {
  const run: Run = { bookings: 0, others: 0, wallUs: { bookings: 0, others: 0 }, cpuUs: 0, outcomes: {} }
  const cpuBefore = cpuUs()
  for (const [i, event] of events.entries()) {
    const before = performance.now()
    const processed = await engine.process({ body: bytes[i] ?? Buffer.alloc(0) })
    const us = (performance.now() - before) * 1000
    if (processed.kind === 'rejected') throw new Error(`the bench sent a bad event: ${JSON.stringify(processed.errors)}`)
    if (processed.kind === 'decided') {
      run.bookings++
      run.wallUs.bookings += us
      run.outcomes[processed.decision.outcome] = (run.outcomes[processed.decision.outcome] ?? 0) + 1
    } else {
      run.others++
      run.wallUs.others += us
    }
    if (event.scored !== (processed.kind === 'decided')) throw new Error('a request was not decided')
  }
  run.cpuUs = cpuUs() - cpuBefore
  return run
}

/** CPU of one booking: the run's CPU, shared out as the wall time was. */
export const cpuPerBooking = ({ cpuUs: cpu, wallUs, bookings }: Run): number => cpu * wallUs.bookings / (wallUs.bookings + wallUs.others) / bookings

export const waveOf = (wave: number, bookings: number): WireEvent[] => releaseMinute({ seed: 1, wave, startMs: START_MS + wave * 120_000, bookings, spreadMs: 60_000 })
export const bytesOf = (events: readonly WireEvent[]): Buffer[] => events.map(({ json }) => Buffer.from(json))

export async function run(options: BenchOptions): Promise<RowResult> {
  const bookings = options.quick ? 5_000 : 40_000
  const bed = await createBed()
  const warmUp = waveOf(0, bookings / 2)
  await drive(bed.engine, warmUp, bytesOf(warmUp))
  const events = waveOf(1, bookings), bytes = bytesOf(events)
  const mean = bytes.reduce((sum, b, i) => sum + (events[i]?.scored ? b.length : 0), 0) / events.filter((e) => e.scored).length
  let measured: Run | undefined
  const work = async (): Promise<void> => { measured = await drive(bed.engine, events, bytes) }
  const notes: string[] = []
  if (options.profileDir === undefined) await work()
  else {
    const path = join(options.profileDir, 'engine.cpuprofile')
    await profiled(path, work)
    notes.push(`profile: ${path}`, ...topSelfTimes(path))
  }
  if (!measured) throw new Error('nothing was measured')
  return { row: 'engine', title: 'decode to decision, counters and journal in memory, shipped rules, one core', figures: [...figuresOf(measured, mean, options), ...stages(bed, options)], outcomes: measured.outcomes, notes }
}

function figuresOf(measured: Run, bytesMean: number, { fastify }: BenchOptions): Figure[] {
  const { wallUs, bookings, others } = measured
  const us = cpuPerBooking(measured)
  return [
    {
      what: 'bookings per second of CPU', value: 1e6 / us, unit: '/s', bar: scaledBar(10_000, fastify?.perCpuSecond), beyond: scaledBar(20_000, fastify?.perCpuSecond),
      against: { what: 'bare Fastify', value: fastify?.perCpuSecond ?? NaN, unit: '/s' },
    },
    { what: 'bookings, by the clock', value: 1e6 * bookings / wallUs.bookings, unit: '/s', against: { what: 'bare Fastify', value: fastify?.perSecond ?? NaN, unit: '/s' } },
    { what: 'CPU of a booking', value: us, unit: 'us', against: { what: 'bytes', value: bytesMean, unit: '' } },
    { what: 'other events, by the clock', value: wallUs.others / others, unit: 'us', against: { what: 'events', value: others, unit: '' } },
  ]
}

/** Each stage by itself over one more release minute: microseconds of CPU per booking. */
function stages({ rulebook, tokeniser, velocity }: Bed, options: BenchOptions): Figure[] {
  const events = waveOf(2, options.quick ? 2_000 : 15_000), bytes = bytesOf(events)
  const decoded = timed(bytes, (body) => decode(body))
  const good = decoded.results.flatMap((d) => (d.ok ? [d] : []))
  const hashed = timed(good, ({ canonical }) => tokeniser.bodyHash(canonical))
  const tokenised = timed(good, ({ input }) => toBookingEvent(input, tokeniser, ZONE))
  const counted = observeAll(rulebook, velocity, tokenised.results)
  const requests = counted.requests
  const assembled = timed(requests, ({ event, observed }) => assembleFeatures(event, observed))
  const evaluated = timed(assembled.results, (features) => evaluate(rulebook.rules, features))
  const scored = scoreAll(rulebook, velocity, waveOf(3, options.quick ? 2_000 : 15_000), tokeniser)
  const serialised = timed(scored.results, ({ decision }) => JSON.stringify(decision))
  const framed = timed(scored.results, ({ decision, review }, i) => {
    const event = requests[i]?.event
    return event && encodeFrame({ seq: i, acceptedAt: 0, bodyHash: '0'.repeat(32), event, decision: JSON.stringify(decision), review }).length
  })
  const parse = timed(bytes, (body) => JSON.parse(body.toString()) as unknown)
  const stage = (what: string, us: number): Figure => ({ what: `  ${what}`, value: us, unit: 'us' })
  return [
    { ...stage('decode', decoded.us), against: { what: 'JSON.parse alone', value: parse.us, unit: 'us' } },
    stage('bodyHash', hashed.us), stage('tokenise', tokenised.us), stage('velocity', counted.us), stage('features', assembled.us), stage('rules', evaluated.us),
    stage('velocity to decide', scored.us), stage('serialise', serialised.us), stage('journal frame (file journal only)', framed.us - serialised.us),
  ]
}

function timed<T, R>(inputs: readonly T[], stage: (input: T, index: number) => R): { results: R[]; us: number } {
  const results: R[] = []
  const before = cpuUs()
  for (let i = 0; i < inputs.length; i++) results.push(stage(inputs[i] as T, i))
  return { results, us: (cpuUs() - before) / inputs.length }
}

/** CPU of the requests alone; the others are counted in between, since what they change is part of the picture. */
function observeAll(rulebook: Rulebook, velocity: MemoryVelocityStore, events: readonly BookingEvent[]): { requests: { event: BookingRequest; observed: Observed }[]; us: number } {
  const requests: { event: BookingRequest; observed: Observed }[] = []
  let spentUs = 0
  for (const event of events) {
    const before = cpuUs()
    const observed = velocity.run(observe(rulebook.plan, event))
    if (!isBookingRequest(event) || !observed) continue
    spentUs += cpuUs() - before
    requests.push({ event, observed })
  }
  return { requests, us: spentUs / requests.length }
}

function scoreAll(rulebook: Rulebook, velocity: MemoryVelocityStore, wire: readonly WireEvent[], tokeniser: Tokeniser): { results: Scored[]; us: number } {
  const results: Scored[] = []
  let spentUs = 0
  for (const { json } of wire) {
    const decoded = decode(json)
    if (!decoded.ok) throw new Error('the bench made a bad event')
    const event = toBookingEvent(decoded.input, tokeniser, ZONE)
    if (!isBookingRequest(event)) { velocity.run(countEvent(rulebook, event)); continue }
    const before = cpuUs()
    results.push(velocity.run(scoreRequest(rulebook, event, { decidedAt: event.occurredAt, degraded: [] })))
    spentUs += cpuUs() - before
  }
  return { results, us: spentUs / results.length }
}
