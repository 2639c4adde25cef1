import { freshLine, grouped, type Io } from './io.js'

export interface Progress {
  /** So many are done by now. Call it as often as you like: it writes seldom. */
  update(done: number): void
  /** Takes the line away from a terminal; the last figures stay where there is none. */
  finish(): void
}

const TERMINAL_EVERY_MS = 100
const PLAIN_EVERY_MS = 5_000

/**
 * One line on stderr that is written anew, or a plain line every few seconds where there is no terminal. Nothing is
 * written for work that is over sooner. `now`: a clock in milliseconds; `total`: when it is known.
 */
export function createProgress(io: Io, now: () => number, what: { label: string; unit: string; total?: number }): Progress {
  const everyMs = io.isTTY ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS
  const startedAt = now()
  let nextAt = startedAt + everyMs
  let isShown = false

  function line(done: number, at: number): string {
    const perSecond = at > startedAt ? done / ((at - startedAt) / 1000) : 0
    const { total } = what
    const share = total === undefined || total <= 0 ? '' : ` of ${grouped(total)} (${Math.floor(100 * Math.min(1, done / total))} %)`
    return `${what.label}: ${grouped(done)}${share} ${what.unit}, ${grouped(perSecond)}/s`
  }

  return {
    update(done) {
      const at = now()
      if (at < nextAt) return
      nextAt = at + everyMs
      isShown = true
      // A line longer than the terminal would wrap and stay behind.
      io.stderr.write(io.isTTY ? freshLine(io) + line(done, at).slice(0, (io.stderr.columns ?? 80) - 1) : `${line(done, at)}\n`)
    },
    finish() {
      if (isShown) io.stderr.write(freshLine(io))
    },
  }
}
