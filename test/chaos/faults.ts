import type { Part } from './part.js'
import { SERVERS, type Site } from './site.js'

/** What goes wrong in one round. `strike` begins it, `mend` ends it; what is wrong in between is the product's to bear. */
export interface Fault {
  name: string
  /** How long it lasts, milliseconds; a moment of chance unless told. */
  lastsMs?: number
  strike(site: Site, round: number): Promise<void>
  mend(site: Site, round: number): Promise<void>
}

const KILLED = ['worker', 'API', ...SERVERS] as const
type Killed = (typeof KILLED)[number]

/** Which of two processes it is goes in turn. */
function partOf(site: Site, killed: Killed, round: number): Part {
  const part = killed === 'worker' ? site.workers[round % 2] : killed === 'API' ? site.apis[round % 2] : site.servers[killed]
  if (!part) throw new Error(`there is no ${killed}`)
  return part
}

const nothing = (): Promise<void> => Promise.resolve()
const kill = (...names: readonly Killed[]): Fault => ({
  name: names.join(' + '),
  async strike(site, round) { await Promise.all(names.map((name) => partOf(site, name, round).kill())) },
  async mend(site, round) { await Promise.all(names.map((name) => partOf(site, name, round).start())) },
})
const FLUSH: Fault = { name: 'redis wiped', strike: (site) => site.flushRedis(), mend: nothing }
const BURN: Fault = { name: 'redis, data deleted', strike: (site) => site.burnRedis(), mend: (site) => site.servers.redis.start() }
const NOTHING: Fault = { name: 'nothing', strike: nothing, mend: nothing }

const SINGLES = KILLED.map((name) => kill(name))
const PAIRS = KILLED.flatMap((name, n) => KILLED.slice(n + 1).map((other) => kill(name, other)))

/** ClickHouse for `awayMs`, everything else for a few seconds: one by one, two at a time, and emptied. */
export const allFaults = (awayMs: number): Fault[] => [
  NOTHING, ...SINGLES, ...PAIRS, FLUSH, BURN, { ...kill('clickhouse'), name: `clickhouse, ${awayMs / 1_000} s`, lastsMs: awayMs },
]

/** One of each kind that the product can feel, for a test. */
export const someFaults = (): Fault[] => [kill('worker'), kill('API'), kill('redis'), kill('postgres'), FLUSH]
