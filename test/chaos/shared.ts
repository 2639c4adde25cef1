import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCallbackReceiver, type CallbackReceiver } from '../support/callback-receiver.js'
import { createClient, type Client } from '../support/client.js'
import type { OutsideKafka } from '../support/outside-kafka.js'
import { seeded } from '../support/people.js'
import { cityTraffic } from '../support/traffic.js'
import { repeatAll, untilEnded, untilSettled } from './audit.js'
import { HOSPITALS, REFUSED_CALLBACKS, SHORTEST_HOLD_MS, mayBeActive } from './chaos.js'
import { meetFate, openDesk } from './desk.js'
import type { Fault } from './faults.js'
import { judge, type Verdict } from './judge.js'
import { createLedger, type Ledger, type PlacedHold } from './ledger.js'
import { createLoad } from './load.js'
import { openPersistentKafka } from './persistent-kafka.js'
import { startPulse, type Pulse, type Recovery } from './pulse.js'
import { recount } from './recount.js'
import { createRoundRobin } from './round-robin.js'
import { openSite, type Site } from './site.js'

export interface SharedChaosOptions {
  faults: readonly Fault[]
  /** In all rounds together, without pulses and repeats. */
  events: number
  perSecond: number
  seed: number
  /** Holds at the brief hospital end so long after their round began; absent: after a minute at most, the shortest a policy may say. */
  visitInMs?: number
  /** How long a fault lasts that does not say so itself: so long, or up to twice as long. */
  downMs?: number
  logLevel?: string
  main?: string
  say?: (line: string) => void
}

/** What one fault did, in figures; `wrong` must all be 0. */
export interface Row extends Recovery {
  fault: string
  events: number
  decided: number
  holds: number
  expired: number
  /** Share of its decisions that were marked degraded. */
  degraded: number
  wrong: { lost: number; miscounted: number; differing: number; endedTwice: number }
}

export interface SharedReport extends Verdict {
  rows: Row[]
  repeats: number
  callsAgain: number
  probes: number
  /** Events in ClickHouse at the end, and how many different ones. */
  history: { rows: number; events: number }
  seconds: number
  output: string
}

const STRIKE_AT = 0.25
const DOWN_MS = 2_000
const WELL_WITHIN_MS = 150_000
const HISTORY_WITHIN_MS = 120_000

/** One fault after the other over shared stores, under load, judged by what the outside saw. Undefined when a server cannot be had. */
export async function runSharedChaos(options: SharedChaosOptions): Promise<SharedReport | undefined> {
  const startedAt = Date.now()
  const random = seeded(options.seed)
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const receiver = await startCallbackReceiver(secret, () => random() < REFUSED_CALLBACKS)
  const settings = { ZHENHAO_CALLBACK_URL: receiver.url, ZHENHAO_CALLBACK_SECRET: secret, LOG_LEVEL: options.logLevel ?? 'warn' }
  try {
    const site = await openSite({ settings, ...(options.main === undefined ? {} : { main: options.main }) })
    if (!site) return undefined
    const kafka = await openPersistentKafka(site.brokers)
    try {
      options.say?.(`two API processes and two workers are ready after ${Date.now() - startedAt} ms`)
      const found = await attack(options, { site, kafka, receiver, random })
      const output = [...site.apis, ...site.workers].map((member, n) => `--- ${['api', 'api', 'worker', 'worker'][n] ?? ''} ${n % 2}\n${member.output()}`).join('\n')
      return { ...found, seconds: Math.round((Date.now() - startedAt) / 1_000), output }
    } finally {
      await kafka.close()
      await site.stop()
    }
  } finally {
    await receiver.close()
  }
}

interface Scene { site: Site; kafka: OutsideKafka; receiver: CallbackReceiver; random: () => number }
interface Clients { core: Client; lead: Client; apis: Client[]; reviewers: Client[]; tries: { again: number } }

async function openClients(site: Site): Promise<Clients> {
  const tries = { again: 0 }
  const urls = site.apis.map(({ url }) => url)
  const [core = '', lead = '', pulse = '', ...reviewers] = await Promise.all(['booking_core', 'risk_lead', 'booking_core', 'reviewer', 'reviewer', 'reviewer'].map((role) => site.key(role)))
  const robin = (key: string): Client => createRoundRobin(urls, key, tries)
  return { core: robin(core), lead: robin(lead), apis: urls.map((url) => createClient(url, pulse)), reviewers: reviewers.map(robin), tries }
}

async function attack(options: SharedChaosOptions, { site, kafka, receiver, random }: Scene): Promise<Omit<SharedReport, 'seconds' | 'output'>> {
  const { faults, say = () => undefined } = options
  const clients = await openClients(site)
  const policy = await clients.lead.insist('PUT', '/v1/policies/h-brief', { body: { hold: { for_ms: SHORTEST_HOLD_MS } } })
  if (policy.status !== 200) throw new Error(`the policy was not taken: ${policy.status} ${policy.text}`)
  // The other processes look for it every second.
  await sleep(1_500)

  const late: Promise<void>[] = []
  const ledger: Ledger = createLedger((hold) => { act(hold) })
  const desk = openDesk(clients.reviewers, ledger)
  const endless = createLoad({ stories: [], client: clients.core, kafka, ledger, random, perSecond: 1, onProgress: () => undefined })
  let isOver = false
  function act(hold: PlacedHold): void {
    // What the probes place is nobody's.
    if (isOver) return
    late.push(meetFate(hold, { desk, random, send: (event) => endless.send(event), patienceMs: 3_000 }))
  }

  let deadLetters = 0
  const pulse = startPulse({
    apis: clients.apis, kafka, ledger, random,
    insist: (event) => { late.push(endless.send(event, { road: 'topic' })) }, onFault: (text) => { ledger.violations.push(text) },
  })
  const follower = await kafka.follow(['booking-decisions', 'booking-holds', 'booking-events-dlq'], (topic, { value }) => {
    const text = value.toString('utf8')
    if (topic === 'booking-events-dlq') { deadLetters++; return }
    if (topic === 'booking-holds') { ledger.noteEnding('topic', text); return }
    const { event_id: id } = JSON.parse(text) as { event_id: string }
    pulse.seen(id, text)
    ledger.noteDecision('topic', id, text)
  })
  await untilWell(pulse)

  const rounds: Round[] = []
  let repeats = 0
  for (const [n, fault] of faults.entries()) {
    const round = await playRound(options, { site, clients, kafka, ledger, pulse, random }, fault, n)
    repeats += round.repeats
    rounds.push(round)
    const { firstS, wholeS } = round.recovery
    say(`${fault.name}: ${round.ids.length} events, first answer after ${firstS?.toFixed(1) ?? 'never'} s, whole after ${wholeS?.toFixed(1) ?? 'never'} s`)
  }

  await pulse.stop()
  await Promise.all(late)
  await untilSettled(ledger)
  await desk.finish()
  await Promise.all(late)
  say(`all sent: ${ledger.sent.size} events, ${ledger.holds.size} holds; now everything once more`)
  const unknown = await repeatAll(clients.core, ledger)
  const cancelled = new Set([...ledger.sent.values()].flatMap((e) => (e.type === 'booking.cancelled' && e.order_id !== undefined ? [e.order_id] : [])))
  const may = (hold: PlacedHold): boolean => mayBeActive(hold, cancelled)
  const active = await untilEnded(clients.lead, ledger, receiver, follower, may)
  say('all holds have ended; now the probes')
  isOver = true
  if (receiver.forged > 0) ledger.violations.push(`${receiver.forged} callbacks had no good signature`)
  const verdict = judge({ ledger, active, unknown, mayBeActive: may, deadLetters })
  const { probes, miscounted } = await recount(clients.core, clients.lead, ledger, rounds.map(({ requests }) => requests), random)
  const history = await untilInHistory(site, ledger.sent.size)
  if (history.events !== ledger.sent.size) verdict.violations.push(`history has ${history.events} of ${ledger.sent.size} events`)
  if (history.rows !== history.events) verdict.violations.push(`history has ${history.rows - history.events} events twice`)
  for (const { what } of miscounted) verdict.violations.push(what)
  for (const { fault, recovery } of rounds) if (recovery.wholeS === undefined) verdict.violations.push(`${fault}: not well again after ${WELL_WITHIN_MS / 1_000} s`)
  return { ...verdict, rows: rounds.map((round) => rowOf(round, ledger, verdict, miscounted.map(({ after }) => after))), repeats, callsAgain: clients.tries.again, probes, history }
}

interface Round { fault: string; ids: string[]; requests: string[]; repeats: number; recovery: Recovery }
interface Stage { site: Site; clients: Clients; kafka: OutsideKafka; ledger: Ledger; pulse: Pulse; random: () => number }

/** One fault in the middle of its share of the load, until everything is well again. */
async function playRound(options: SharedChaosOptions, stage: Stage, fault: Fault, n: number): Promise<Round> {
  const { site, clients, kafka, ledger, pulse, random } = stage
  const { faults, events, perSecond, seed, visitInMs, downMs = DOWN_MS } = options
  const lastsMs = fault.lastsMs ?? downMs * (1 + random())
  const endMs = Date.now()
  const before = new Set(ledger.sent.keys())
  const stories = cityTraffic({
    seed: seed * 100 + n, events: Math.ceil(events / faults.length), endMs, hospitals: HOSPITALS,
    ...(visitInMs === undefined ? {} : { visitAt: (hospital) => endMs + (hospital === 'h-brief' ? visitInMs : 7 * 86_400_000) }),
  })
  const all = stories.reduce((sum, story) => sum + story.events.length, 0)
  let struckAt = 0
  let striking: Promise<void> | undefined
  const strike = async (): Promise<void> => {
    struckAt = Date.now()
    await fault.strike(site, n)
    await sleep(lastsMs)
    await fault.mend(site, n)
  }
  const load = createLoad({
    stories, client: clients.core, kafka, ledger, random,
    // A long fault is under load as long as it lasts.
    perSecond: Math.min(perSecond, (all * 1_000) / (lastsMs + 2_000)),
    onProgress: (share) => {
      if (share < STRIKE_AT || striking) return
      striking = strike()
      // It is awaited below, when the load is over.
      striking.catch(() => undefined)
    },
  })
  const { repeats } = await load.run()
  await striking
  await untilWell(pulse)
  const ids = [...ledger.sent.keys()].filter((id) => !before.has(id))
  return {
    fault: fault.name, ids, requests: ids.filter((id) => ledger.sent.get(id)?.type === 'booking.requested' && !id.startsWith('e-pulse')), repeats, recovery: pulse.since(struckAt),
  }
}

async function untilWell(pulse: Pulse): Promise<void> {
  for (const deadline = Date.now() + WELL_WITHIN_MS; !pulse.isWell() && Date.now() < deadline;) await sleep(100)
}

/** Everything is in ClickHouse in the end, whatever was away in between. */
async function untilInHistory({ clickhouse }: Site, events: number): Promise<{ rows: number; events: number }> {
  for (const deadline = Date.now() + HISTORY_WITHIN_MS; ;) {
    const [rows = 0, different = 0] = (await clickhouse.ask('SELECT count(), uniqExact(event_id) FROM zhenhao.events FORMAT TSV').catch(() => '')).trim().split('\t').map(Number)
    if (different >= events || Date.now() > deadline) return { rows, events: different }
    await sleep(250)
  }
}

function rowOf({ fault, ids, recovery }: Round, ledger: Ledger, { wrong }: Verdict, miscounted: readonly string[]): Row {
  const mine = new Set(ids)
  const count = (some: readonly string[]): number => some.filter((id) => mine.has(id)).length
  const decided = ids.flatMap((id) => [...(ledger.decisions.get(id)?.bytes ?? [])].slice(0, 1))
  const holds = [...ledger.holds.values()].filter(({ eventId }) => mine.has(eventId))
  const expired = holds.filter(({ holdId }) => [...(ledger.endings.get(holdId)?.bytes ?? [])].some((text) => text.includes('"resolution":"expired"')))
  return {
    fault, events: ids.length, decided: decided.length, holds: holds.length, expired: expired.length, ...recovery,
    degraded: decided.filter((bytes) => !bytes.includes('"degraded":[]')).length / Math.max(1, decided.length),
    wrong: { lost: count(wrong.lost), miscounted: count(miscounted), differing: count(wrong.differing), endedTwice: count(wrong.endedTwice) },
  }
}
