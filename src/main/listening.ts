import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../adapters/pino/log.js'
import type { Subscription } from '../ports/event-log.js'

/** The stream worker, from the moment it is wanted. */
export interface Listening {
  lag(): Promise<number | undefined>
  /** Rejects while nothing is read yet. */
  check(): Promise<void>
  stop(): Promise<void>
}

const RETRY_MS = 2_000

/**
 * Starts the stream worker without waiting for it: after a kill -9 a consumer group waits for its dead member to be given up
 * (10 s), and calls over HTTP need not. A worker that cannot start is started again until it can.
 */
export function listen(start: () => Promise<Subscription>, log: Logger): Listening {
  const ending = new AbortController()
  let subscription: Subscription | undefined

  async function join(): Promise<void> {
    while (!ending.signal.aborted && subscription === undefined) {
      try {
        subscription = await start()
      } catch (fault) {
        log.error({ error: fault instanceof Error ? fault.message : 'unknown fault' }, 'the stream cannot be read; this is tried again without end')
        await sleep(RETRY_MS, undefined, { signal: ending.signal }).catch(() => undefined)
      }
    }
  }

  const joining = join()
  return {
    lag: () => subscription?.lag() ?? Promise.resolve(undefined),
    check: () => subscription ? Promise.resolve() : Promise.reject(new Error('the stream is being joined')),
    async stop() {
      ending.abort()
      await joining
      await subscription?.stop()
    },
  }
}
