import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../adapters/pino/log.js'
import type { ExitCode, Io } from '../cli/io.js'
import { createProgress } from '../cli/progress.js'
import { writeSimulateSummary, type SimulateOptions, type SimulateSummary } from '../cli/simulate.js'
import type { Config } from '../config.js'
import { TOPICS } from '../ports/event-log.js'
import { city } from '../simulate/city.js'
import { GROUPS, TACTICS, type CityEvent } from '../simulate/wire.js'
import { createOutput, paceOf } from './replay.js'
import { openEventLog, type Closers } from './stores.js'

/** One event, ready to go out. */
interface Line { key: string; json: string }

/** Where events go. `write` resolves when more may come; `flush` when all that was written is there. */
interface Sink { write(line: Line): Promise<void> | undefined; flush(): Promise<void>; close(): Promise<void>; sent?: { accepted: number; duplicates: number; rejected: number } }

const BATCH = 500
/** Text is written to files in pieces of about this length. */
const CHUNK_CHARS = 1 << 16
/** Below this the sleep itself is longer. */
const SHORTEST_WAIT_MS = 4

/** Makes the city, writes and sends it, and prints what it was made of. `config`: for Kafka. */
export async function simulate(io: Io, options: SimulateOptions, config?: Config): Promise<ExitCode> {
  const { days, seed, bookingsPerDay, hospitals, scalpers } = options
  const events = city({ days, seed, bookingsPerDay, hospitals, startMs: Date.parse(`${options.start}T00:00:00+08:00`), ...(scalpers !== undefined && { scalpers }) })
  const counts = new Counts()
  const closers: Closers = []
  const progress = createProgress(io, Date.now, { label: 'simulate', unit: 'events' })
  const startedAt = Date.now()
  try {
    const sinks = await openSinks(options, config, closers)
    const labels = options.labels === undefined ? undefined : fileSink(options.labels)
    await pour(events, options, sinks, labels, (event) => { progress.update(counts.add(event)) })
    await Promise.all([...sinks, ...(labels ? [labels] : [])].map((sink) => sink.close()))
    progress.finish()
    const sent = sinks.find((sink) => sink.sent)?.sent
    return writeSimulateSummary(io, { ...counts.summary(), ...(sent && { sent }), seconds: (Date.now() - startedAt) / 1000 }, options)
  } finally {
    for (const close of closers.splice(0).reverse()) await close()
  }
}

async function pour(events: Iterable<CityEvent>, { speed }: SimulateOptions, sinks: readonly Sink[], labels: Sink | undefined, count: (event: CityEvent) => void): Promise<void> {
  const wait = speed === 'max' ? undefined : paceOf(speed)
  for (const event of events) {
    const waitMs = wait?.(event.at) ?? 0
    if (waitMs > SHORTEST_WAIT_MS) {
      await Promise.all([...sinks, ...(labels ? [labels] : [])].map((sink) => sink.flush()))
      await sleep(waitMs)
    }
    if (sinks.length > 0) {
      const line = { key: event.key, json: JSON.stringify(event.event) }
      // Only what is full is waited for: a promise per event would cost more than the event.
      for (const sink of sinks) { const full = sink.write(line); if (full) await full }
    }
    const full = event.label && labels?.write({ key: event.key, json: JSON.stringify(event.label) })
    if (full) await full
    count(event)
  }
}

class Counts {
  private events = 0
  private readonly tactics = new Map<string, number>(TACTICS.map((name) => [name, 0]))
  private readonly groups = new Map<string, number>(GROUPS.map((name) => [name, 0]))
  private readonly gangs = new Set<string>()

  /** Returns how many there are by now. */
  add({ label }: CityEvent): number {
    if (label?.tactic !== undefined) this.tactics.set(label.tactic, (this.tactics.get(label.tactic) ?? 0) + 1)
    if (label?.group !== undefined) this.groups.set(label.group, (this.groups.get(label.group) ?? 0) + 1)
    if (label?.gang !== undefined) this.gangs.add(label.gang)
    return ++this.events
  }

  summary(): Omit<SimulateSummary, 'seconds' | 'sent'> {
    const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((total, count) => total + count, 0)
    return { events: this.events, legit: sum(this.groups), scalper: sum(this.tactics), tactics: [...this.tactics], groups: [...this.groups], gangs: this.gangs.size }
  }
}

async function openSinks({ out, to, keyFile }: SimulateOptions, config: Config | undefined, closers: Closers): Promise<Sink[]> {
  const file = out === undefined ? [] : [fileSink(out)]
  if (to === undefined) return file
  if (to !== 'kafka') return [...file, httpSink(to, (await readFile(keyFile ?? '', 'utf8')).trim())]
  if (config?.kafkaBrokers === undefined) throw new Error('KAFKA_BROKERS is not set: there is no Kafka to send to')
  const log = await openEventLog(config, createLog('warn'), closers)
  return [...file, batchSink((lines) => log.publish(TOPICS.events, lines.map(({ key, json }) => ({ key, value: json }))))]
}

function fileSink(path: string): Sink {
  const output = createOutput(path)
  let text = ''
  const flush = async (): Promise<void> => {
    const ready = text
    text = ''
    if (ready !== '') await output.write(ready)
  }
  return {
    write({ json }) {
      text += `${json}\n`
      return text.length < CHUNK_CHARS ? undefined : flush()
    },
    flush,
    close: async () => { await flush(); await output.close() },
  }
}

/** Full batches one after the other: order is kept. */
function batchSink(send: (lines: readonly Line[]) => Promise<void>): Sink {
  let batch: Line[] = []
  const flush = async (): Promise<void> => {
    const ready = batch
    batch = []
    if (ready.length > 0) await send(ready)
  }
  return {
    write(line) {
      batch.push(line)
      return batch.length < BATCH ? undefined : flush()
    },
    flush, close: flush,
  }
}

/** `POST /v1/events` as a booking core would send; waits as long as the server asks for. */
function httpSink(origin: string, key: string): Sink {
  const sent = { accepted: 0, duplicates: 0, rejected: 0 }
  const send = async (lines: readonly Line[]): Promise<void> => {
    const body = lines.map(({ json }) => json).join('\n')
    for (;;) {
      const answer = await fetch(`${origin}/v1/events`, { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' }, body })
        .catch((fault: unknown) => { throw new Error(`${origin} cannot be reached`, { cause: fault }) })
      if (answer.status === 429 || answer.status === 503) {
        await answer.arrayBuffer()
        await sleep(1_000 * Math.min(60, Math.max(1, Number(answer.headers.get('retry-after')) || 1)))
        continue
      }
      if (!answer.ok) throw new Error(`${origin} answered ${answer.status} to /v1/events: ${await problemOf(answer)}`)
      const result = await answer.json() as { accepted: number; duplicates: number; rejected: unknown[] }
      sent.accepted += result.accepted
      sent.duplicates += result.duplicates
      sent.rejected += result.rejected.length
      return
    }
  }
  return { ...batchSink(send), sent }
}

/** The title of a problem+json answer; nothing else of a stranger's answer is shown. */
async function problemOf(answer: Response): Promise<string> {
  const body: unknown = await answer.json().catch(() => undefined)
  return typeof body === 'object' && body !== null && 'title' in body && typeof body.title === 'string' ? body.title : 'no reason given'
}
