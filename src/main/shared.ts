import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCounterLedger } from '../adapters/postgres/counter-ledger.js'
import { installationId } from '../adapters/postgres/installation.js'
import { createPostgresJournal } from '../adapters/postgres/journal.js'
import { runAsLeader } from '../adapters/postgres/leader.js'
import { createPostgresPositions } from '../adapters/postgres/positions.js'
import { clearLogs } from '../adapters/redis/clear.js'
import { ANSWER_MS, connectRedis, type RedisClient } from '../adapters/redis/connect.js'
import { shortPrefix } from '../adapters/redis/keys.js'
import { createMarks, memoryOf } from '../adapters/redis/marks.js'
import { createSeen } from '../adapters/redis/seen.js'
import { createRedisVelocityStore } from '../adapters/redis/velocity-store.js'
import { keepCounters } from '../pipeline/counter-keeper.js'
import { watchCounters } from '../pipeline/counter-watch.js'
import { recoverVelocity } from '../pipeline/recover.js'
import { layoutOf } from '../scoring/plan.js'
import { shortHash } from '../scoring/yaml-file.js'
import { PartTrouble, type Keeping, type KeepingDeps } from './keeping.js'
import { startOutgoing, type Outgoing } from './outgoing.js'
import { startRetiring } from './retiring.js'

const WATCH_EVERY_MS = 250
const KEEP_EVERY_MS = 500
const MEASURE_EVERY_MS = 10_000
/** A start waits this long for counters that are, or soon will be, whole; then decisions are marked degraded until they are. */
const FIRST_WAIT_MS = 5_000
/** Events counted side by side while counters are filled: a few trips to Redis each time. */
const FILL_AT_ONCE = 500

const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal })

/**
 * Everything over stores that any number of processes share. Each counts and records for itself; one at a time, elected in
 * PostgreSQL, publishes decisions, writes history and ends holds, and one keeps the counters of this layout whole.
 */
export async function keepShared({ stores, enforcement, rulebook, config, meters, log }: KeepingDeps): Promise<Keeping> {
  const { pool, databaseUrl, history, eventLog, closers } = stores
  const connect = (answerMs?: number): Promise<RedisClient> => connectRedis(config.redisUrls ?? [], (fault) => { log.debug({ error: fault.message }, 'Redis does not answer') }, answerMs)
  // Counting has connections of its own: its trips are large, and have their own deadline.
  const [counting, redis] = await Promise.all([connect(), connect(ANSWER_MS)])
  closers.push(async () => { counting.disconnect(); redis.disconnect(); await Promise.resolve() })
  const installation = `zhenhao:${await installationId(pool)}:`
  const layout = layoutOf(rulebook().plan)
  // Another layout counts in other keys, so that two versions can run side by side during an upgrade.
  const layoutName = shortHash(layout.version)
  const prefix = shortPrefix(`${installation}${layoutName}`)
  const counters = createRedisVelocityStore({ client: counting, layout, prefix })
  const marks = createMarks(redis, prefix), ledger = createCounterLedger(pool)
  const watch = await watchCounters({ marks, ledger, layout: layoutName, everyMs: WATCH_EVERY_MS, sleep: pause })
  const velocity = { run: counters.run.bind(counters), get incomplete() { return !watch.whole }, get generation() { return watch.generation } }
  const journal = await createPostgresJournal(pool, {
    enforcement, older: (id) => history.find(id), seen: createSeen(redis, installation), onRetry: (fault, what, attempt) => { meters.retried(`journal ${what}`)(fault, attempt) },
  })
  closers.push(() => journal.close())

  let memory: Awaited<ReturnType<typeof memoryOf>> | undefined
  const measuring = setInterval(() => { void memoryOf(redis).then((now) => { memory = now }, () => { memory = undefined }) }, MEASURE_EVERY_MS)
  let outgoing: Outgoing | undefined
  let stopping = false
  const publishing = runAsLeader({
    connectionString: databaseUrl, name: 'outgoing', log,
    start: async () => {
      const started = await startOutgoing({ journal, positions: createPostgresPositions(pool), upTo: () => journal.durableSeq, enforcement, history, eventLog, config, meters, log })
      const retiring = startRetiring({ journal, log, repeatDays: config.repeatDays, neededFrom: () => 1 + Math.min(started.publishedSeq(), started.historySeq()) })
      outgoing = started
      return {
        async stop() {
          outgoing = undefined
          retiring.stop()
          await started.stop({ drain: stopping })
        },
      }
    },
  })
  const keeping = runAsLeader({
    connectionString: databaseUrl, name: `counters ${layoutName}`, log,
    start: () => Promise.resolve(keepCounters({
      marks, ledger, layout: layoutName, everyMs: KEEP_EVERY_MS, sleep: pause, newGeneration: () => randomUUID().slice(0, 8), log,
      head: async () => { await journal.poll(); return journal.durableSeq },
      clear: () => clearLogs(counting, prefix),
      fill: async (fromSeq, onProgress) => (await recoverVelocity({ journal, history, velocity: counters, rulebook: rulebook(), fromSeq, atOnce: FILL_AT_ONCE, onProgress })).events,
    })),
  })

  for (let waited = 0; waited < FIRST_WAIT_MS && !watch.whole; waited += WATCH_EVERY_MS) await sleep(WATCH_EVERY_MS)

  return {
    recorder: journal,
    velocity: () => velocity,
    paused: () => false,
    doubt(fault) {
      watch.suspect()
      meters.retried('velocity')(fault, 1)
    },
    findRecorded: async (eventId) => {
      const found = await journal.peek(eventId)
      return found === 'forgotten' ? undefined : found ?? history.find(eventId)
    },
    async rebuild() {
      // Whoever leads sees that they are not whole, and fills them from the first record on.
      for (let asked = false; !asked;) {
        const standing = await ledger.load(layoutName)
        if (!standing) throw new Error('the counters are being filled for the first time')
        asked = await ledger.save(layoutName, { ...standing, ready: false, watermark: 0 }, standing)
      }
      while ((await ledger.load(layoutName))?.ready !== true) await sleep(KEEP_EVERY_MS)
      return (await ledger.load(layoutName))?.watermark ?? 0
    },
    gauges: () => ({
      journalLastSeq: journal.lastSeq + journal.pending, journalDurableSeq: journal.durableSeq, enforcedSeq: journal.durableSeq,
      historySeq: outgoing?.historySeq(), publishedSeq: outgoing?.publishedSeq(),
      velocityEntities: undefined, velocityBytes: memory?.used, velocityMaxBytes: memory?.max, velocityIncomplete: !watch.whole,
      leads: { outgoing: publishing.leading, counters: keeping.leading },
    }),
    checks: {
      journal: () => journal.poll().catch((fault: unknown) => { throw new PartTrouble('PostgreSQL does not take records', { cause: fault }) }),
      counters: () => watch.whole ? Promise.resolve() : Promise.reject(new PartTrouble('Redis is away or being filled; decisions are marked degraded')),
    },
    doorStore: { client: redis, prefix: `${installation}door:` },
    async stop() {
      stopping = true
      clearInterval(measuring)
      await Promise.all([publishing.stop(), keeping.stop()])
      await watch.stop()
    },
  }
}
