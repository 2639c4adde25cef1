import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMemoryJournal } from '../adapters/memory/journal.js'
import { MemoryVelocityStore } from '../adapters/memory/velocity-store.js'
import { createProgress } from '../cli/progress.js'
import { createRejectReport, writeDecision, writeReplaySummary, type ReplayOptions, type ReplaySummary } from '../cli/replay.js'
import { type ExitCode, type Io } from '../cli/io.js'
import type { Config } from '../config.js'
import { OUTCOMES, type Decision, type Outcome } from '../domain/decision.js'
import type { Engine } from '../pipeline/engine.js'
import { createEngine } from '../pipeline/process-event.js'
import { createRecorder } from '../pipeline/recorder.js'
import { replayLines, type ReplaySinks } from '../pipeline/replay.js'
import { layoutOf } from '../scoring/plan.js'
import { createTokeniser } from '../scoring/tokenise.js'
import { loadRulebook } from './rules.js'

/** An engine with a memory of its own, in which time is the events' time. No outcome depends on its token key. */
export async function createReplayEngine(config: Config): Promise<Engine> {
  const rulebook = await loadRulebook(config.rulesDir, [])
  const velocity = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
  return createEngine({
    tokeniser: await createTokeniser(randomBytes(32)), timeZone: config.timeZone, velocity: () => velocity, recorder: createRecorder(createMemoryJournal()),
    rulebook: () => rulebook, decidedAt: (event) => event.occurredAt,
  })
}

/** Runs files through `engine` and prints the summary. */
export async function replay(io: Io, options: ReplayOptions, engine: Engine): Promise<ExitCode> {
  const decisions = options.decisions === undefined ? undefined : createOutput(options.decisions)
  const rejects = options.rejects === undefined ? undefined : createOutput(options.rejects, 0o600)
  const report = createRejectReport(io)
  const progress = createProgress(io, Date.now, { label: 'replay', unit: 'events' })
  const startedAt = Date.now()
  const summary: Writable = { lines: 0, outcomes: noOutcomes(), otherEvents: 0, duplicates: 0, conflicts: 0, tooOld: 0, rejected: 0, seconds: 0 }
  let before = 0
  for (const file of options.files) {
    const input = file === '-' ? process.stdin : createReadStream(file)
    const lines = createInterface({ input, crlfDelay: Infinity })
    const sinks: ReplaySinks = {
      decided: (bytes) => {
        if (options.show) writeDecision(io, JSON.parse(bytes) as Decision)
        return decisions?.write(`${bytes}\n`)
      },
      rejected: async (line, status, errors, raw) => {
        report(file, line, errors)
        await rejects?.write(`${JSON.stringify({ line, errors, raw })}\n`)
        if (status === 409) summary.conflicts++
        else if (status === 410) summary.tooOld++
        else summary.rejected++
      },
      progress: (n) => { progress.update(before + n) },
    }
    const counts = await replayLines(lines, engine, { backfill: options.record, sinks, pace: options.speed === 'max' ? undefined : pace(options.speed) })
    before += counts.lines
    summary.lines += counts.lines
    summary.otherEvents += counts.counted
    summary.duplicates += counts.duplicates
    for (const outcome of OUTCOMES) summary.outcomes[outcome] += counts.outcomes[outcome] ?? 0
  }
  await Promise.all([decisions?.close(), rejects?.close()])
  progress.finish()
  summary.seconds = (Date.now() - startedAt) / 1000
  return writeReplaySummary(io, summary, options)
}

type Writable = { -readonly [K in keyof ReplaySummary]: K extends 'outcomes' ? Record<Outcome, number> : ReplaySummary[K] }
const noOutcomes = (): Record<Outcome, number> => ({ allow: 0, challenge: 0, throttle: 0, hold: 0, deny: 0 })

/** `mode`: 0600 for what holds identities. */
export function createOutput(path: string, mode = 0o666): { write: (text: string) => Promise<void> | undefined; close: () => Promise<void> } {
  const stream: WriteStream = createWriteStream(path, { mode })
  const failed = new Promise<never>((_, reject) => { stream.once('error', reject) })
  failed.catch(() => undefined)
  return {
    write: (text) => (stream.write(text) ? undefined : Promise.race([once(stream, 'drain').then(() => undefined), failed])),
    close: () => Promise.race([new Promise<void>((done) => { stream.end(done) }), failed]),
  }
}

/** Waits so that events come `factor` times as fast as they happened. */
function pace(factor: number): (raw: string) => Promise<void> {
  const until = paceOf(factor)
  return async (raw) => {
    const at = Date.parse(/"occurred_at"\s*:\s*"([^"]{10,40})"/.exec(raw)?.[1] ?? '')
    if (Number.isNaN(at)) return
    const waitMs = until(at)
    if (waitMs > 0) await sleep(waitMs)
  }
}

/** Milliseconds to wait until an event's time (epoch milliseconds) has come; the first event's time is now. */
export function paceOf(factor: number): (eventMs: number) => number {
  let first: { eventMs: number; wallMs: number } | undefined
  return (eventMs) => {
    first ??= { eventMs, wallMs: Date.now() }
    return Math.max(0, first.wallMs + (eventMs - first.eventMs) / factor - Date.now())
  }
}
