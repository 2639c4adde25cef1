import { setTimeout as sleep } from 'node:timers/promises'
import type { FieldError } from '../domain/event.js'
import type { Outcome } from '../domain/decision.js'
import type { Engine, Processed } from './engine.js'

export interface ReplaySinks {
  /** A decision's exact bytes, in the order of the input. */
  decided: (bytes: string) => void | Promise<void>
  /** `line` counts from 1. `raw` may hold an identity. */
  rejected: (line: number, status: 400 | 409 | 410, errors: readonly FieldError[], raw: string) => void | Promise<void>
  progress?: (lines: number) => void
}

export interface ReplayCounts {
  lines: number
  decided: number
  counted: number
  duplicates: number
  rejected: number
  outcomes: Partial<Record<Outcome, number>>
}

/** Lines handed over before the first of them is waited for. */
const WINDOW = 256

interface Handed { line: number; raw: string; processed: Promise<Processed> }

/**
 * Runs NDJSON lines through the engine, in order. Blank lines are skipped. A bad line is reported with its number and the
 * run goes on. `pace` is asked before each line and may wait (for `--speed`). A line that the engine has no room for is
 * handed over again, after the others of its window.
 */
export async function replayLines(
  lines: AsyncIterable<string>, engine: Engine, { backfill, sinks, pace }: { backfill: boolean; sinks: ReplaySinks; pace?: ((raw: string) => Promise<void>) | undefined },
): Promise<ReplayCounts> {
  const counts: ReplayCounts = { lines: 0, decided: 0, counted: 0, duplicates: 0, rejected: 0, outcomes: {} }
  let window: Handed[] = []
  const settle = async ({ line, raw, processed }: Handed): Promise<void> => {
    let result = await processed
    while (result.kind === 'overloaded') {
      await sleep(result.retryAfterMs)
      result = await engine.process({ body: raw, backfill })
    }
    await take(counts, sinks, line, raw, result)
  }
  const drain = async (): Promise<void> => {
    for (const handed of window) await settle(handed)
    window = []
    sinks.progress?.(counts.lines)
  }
  for await (const raw of lines) {
    counts.lines++
    if (raw.trim() === '') continue
    await pace?.(raw)
    const processed = engine.process({ body: raw, backfill })
    processed.catch(() => undefined) // looked at when its turn comes; until then it must not count as unhandled
    window.push({ line: counts.lines, raw, processed })
    if (window.length >= WINDOW) await drain()
  }
  await drain()
  return counts
}

async function take(counts: ReplayCounts, sinks: ReplaySinks, line: number, raw: string, processed: Exclude<Processed, { kind: 'overloaded' }>): Promise<void> {
  switch (processed.kind) {
    case 'decided':
      if (processed.duplicate) { counts.duplicates++; return }
      counts.decided++
      counts.outcomes[processed.decision.outcome] = (counts.outcomes[processed.decision.outcome] ?? 0) + 1
      return sinks.decided(processed.bytes)
    case 'accepted':
      if (processed.duplicate) counts.duplicates++
      else counts.counted++
      return
    case 'rejected':
      counts.rejected++
      return sinks.rejected(line, processed.status, processed.errors, raw)
  }
}
