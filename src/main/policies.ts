import type { Policies } from '../api/deps.js'
import type { Logger } from '../adapters/pino/log.js'
import type { PolicyStore } from '../ports/policy-store.js'
import type { PolicyBook } from '../scoring/policy.js'

/** How soon what was changed through another process is in force in this one. */
const LOOK_EVERY_MS = 1_000

export interface SharedPolicies extends Policies { stop(): void }

/** The policies in force: the files' with the overrides that PostgreSQL holds, whichever process they were set through. */
export function sharePolicies(store: PolicyStore, book: () => PolicyBook, replace: (next: PolicyBook) => void, log: Logger): SharedPolicies {
  let seen = -1
  const look = async (): Promise<void> => {
    const changes = await store.changes()
    if (changes === seen) return
    replace(book().withOverrides(await store.all()))
    seen = changes
  }
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  /** One look at a time: one that began earlier must not put back what a later one has replaced. */
  const reload = (): Promise<void> => {
    waiting++
    const mine = last.then(look).finally(() => { waiting-- })
    last = mine.catch(() => undefined)
    return mine
  }
  const timer = setInterval(() => {
    if (waiting === 0) reload().catch((fault: unknown) => { log.debug({ error: fault instanceof Error ? fault.message : 'unknown fault' }, 'changed policies could not be looked for') })
  }, LOOK_EVERY_MS)
  return {
    of: (hospitalId) => book().of(hospitalId),
    async put(hospitalId, patch, by, expectedRevision) {
      const { errors } = book().check(hospitalId, patch)
      if (errors.length > 0) return { kind: 'invalid', errors }
      const stored = await store.put(hospitalId, patch, by, Date.now(), expectedRevision)
      await reload()
      return { kind: stored ? 'saved' : 'stale' }
    },
    stop() { clearInterval(timer) },
  }
}
