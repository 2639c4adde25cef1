/** A number of seats: who finds none is turned away at once, nobody queues. */
export interface Seats {
  readonly full: boolean
  /** Undefined when there is none left; otherwise what gives the seat back, to be called exactly once. */
  enter: () => (() => void) | undefined
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

/**
 * As many seats as callers can be served in `targetMs`: seats = rate x time (Little's law), so seats x target / measured time
 * are the right number, whatever the machine and its load. They grow only when somebody found none: a quiet hour says
 * nothing about what could be done.
 */
export function createSeats({ most, targetMs, now }: SeatsOptions): Seats {
  let seats = targetMs > 0 ? Math.min(most, FIRST) : most
  let taken = 0, left = 0, satMs = 0, wanted = false
  let since = now()

  function adjust(at: number): void {
    // The clock may be set back.
    if (targetMs === 0 || left < ENOUGH || Math.abs(at - since) < ADJUST_EVERY_MS) return
    const factor = Math.min(STEP, Math.max(1 / STEP, targetMs * left / Math.max(satMs, 1)))
    if (factor < 1 || wanted) seats = Math.min(most, Math.max(LEAST, Math.round(seats * factor)))
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
