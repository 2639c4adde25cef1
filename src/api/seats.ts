/** A number of seats: who finds none is turned away at once, nobody queues. */
export interface Seats {
  readonly full: boolean
  /** Undefined when there is none left; otherwise what gives the seat back, to be called exactly once. */
  enter: () => (() => void) | undefined
  /**
   * When somebody who finds no seat should come again, in ms: each is told a later time than the one before, as far apart as seats
   * come free. Told all the same time they would come back all at once, and turning them away would leave no time for the others.
   */
  comeAgainMs: () => number
}

export interface SeatsOptions {
  /** Never more than this. */
  most: number
  /** Their number follows the time a caller sits, so that it is this in the mean; 0: always `most`. */
  targetMs: number
  /** Epoch ms. */
  now: () => number
}

/** Never fewer: what makes them slow may be the others who are turned away, and fewer seats would not help that. */
const LEAST = 64
/** For the first burst, before anything is known of this machine. */
const FIRST = 128
const ADJUST_EVERY_MS = 100
/** So many must have left before their mean says something. */
const ENOUGH = 8
/** One look changes the number by no more than this factor. */
const STEP = 2
const SOONEST_MS = 1_000
/** Later than this nobody waits for: what is told then is not kept. */
const LATEST_MS = 60_000

/**
 * As many seats as callers can be served in `targetMs`: seats = rate x time (Little's law), so seats x target / measured time
 * are the right number, whatever the machine and its load. They grow only when somebody found none: a quiet hour says
 * nothing about what could be done.
 */
export function createSeats({ most, targetMs, now }: SeatsOptions): Seats {
  let seats = targetMs > 0 ? Math.min(most, FIRST) : most
  let taken = 0, left = 0, satMs = 0, wanted = false
  /** Seats that come free per ms while all are taken; and up to when they are promised. */
  let freedPerMs = 1, promised = 0
  let since = now()

  function adjust(at: number): void {
    // The clock may be set back.
    if (left < ENOUGH || Math.abs(at - since) < ADJUST_EVERY_MS) return
    const factor = Math.min(STEP, Math.max(1 / STEP, targetMs * left / Math.max(satMs, 1)))
    if (targetMs > 0 && (factor < 1 || wanted)) seats = Math.min(most, Math.max(LEAST, Math.round(seats * factor)))
    // Of a quieter time it would say how many came, not how many could be served.
    if (wanted && at - since < 2 * ADJUST_EVERY_MS) freedPerMs = (freedPerMs + left / (at - since)) / 2
    left = satMs = 0
    since = at
    wanted = false
  }

  return {
    get full() {
      if (taken < seats) return false
      wanted = true
      return true
    },
    comeAgainMs() {
      const at = now()
      const turnAt = Math.min(Math.max(promised, at + SOONEST_MS), at + LATEST_MS)
      promised = turnAt + 1 / freedPerMs
      return turnAt - at
    },
    enter() {
      if (this.full) return undefined
      taken++
      const from = now()
      return () => {
        const at = now()
        taken--
        left++
        satMs += Math.max(0, at - from)
        adjust(at)
      }
    },
  }
}
