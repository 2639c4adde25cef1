import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCallbackReceiver, type CallbackReceiver } from '../support/callback-receiver.js'
import { createClient } from '../support/client.js'
import { openOutsideKafka, type OutsideKafka } from '../support/outside-kafka.js'
import { seeded } from '../support/people.js'
import { BUILT, createKey, freePort, openDataDir, startProduct, type Product, type Settings } from '../support/process.js'
import { cityTraffic } from '../support/traffic.js'
import { repeatAll, untilEnded, untilSettled } from './audit.js'
import { meetFate, openDesk, type Desk } from './desk.js'
import { judge, type Verdict } from './judge.js'
import { createLedger, type Ledger, type PlacedHold } from './ledger.js'
import { createLoad } from './load.js'

export interface ChaosOptions {
  /** `host:port` of a Kafka broker with no topics yet. */
  brokers: string
  events: number
  /** SIGKILLs under load. */
  kills: number
  /** One more while holds run out, after the load. */
  killAfterLoad: boolean
  perSecond: number
  seed: number
  /** Holds at the brief hospital end after a minute at most, the shortest a policy may say; or at the visit, which is then so far away. */
  visitInMs?: number
  logLevel?: string
  /** The command under test. */
  main?: string
  say?: (line: string) => void
}

export interface Kill { after: string; recoveryMs: number }
export interface ChaosReport extends Verdict { kills: Kill[]; repeats: number; callsAgain: number; seconds: number; output: string }

/**
 * Four in ten holds are brief and run out, four are decided by people, the rest is cancelled by the platform or stays. What
 * a gang itself cancels ends so wherever it is.
 */
export const HOSPITALS = ['h-brief', 'h-desk', 'h-quit', 'h-brief', 'h-desk', 'h-rest', 'h-brief', 'h-desk', 'h-brief', 'h-desk']
export const SHORTEST_HOLD_MS = 60_000
/** Callbacks that are read and then answered with an error: they must come again, the same. */
export const REFUSED_CALLBACKS = 0.05

/** Kills the product in the middle of a load and judges what the outside saw. Everything it starts it ends. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { brokers, seed, main = BUILT, say = () => undefined } = options
  const startedAt = Date.now()
  const random = seeded(seed)
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const receiver = await startCallbackReceiver(secret, () => random() < REFUSED_CALLBACKS)
  const data = await openDataDir()
  const settings: Settings = {
    ZHENHAO_DATA_DIR: data.path, PORT: await freePort(), KAFKA_BROKERS: brokers, LOG_LEVEL: options.logLevel ?? 'warn',
    ZHENHAO_TOKEN_KEY: randomBytes(32).toString('hex'), ZHENHAO_CALLBACK_URL: receiver.url, ZHENHAO_CALLBACK_SECRET: secret,
  }
  const target = createTarget(await startProduct(settings, main), () => startProduct(settings, main))
  const kafka = await openOutsideKafka(brokers)
  try {
    const keys = await Promise.all(['booking_core', 'reviewer', 'reviewer', 'reviewer', 'risk_lead'].map((role) => createKey(role, settings, main)))
    say(`ready after ${target.product.readyMs} ms, process ${target.product.pid}`)
    const found = await attack({ ...options, say }, { target, kafka, receiver, keys, random })
    return { ...found, seconds: Math.round((Date.now() - startedAt) / 1_000), output: target.outputs() }
  } finally {
    await kafka.close()
    await target.product.stop()
    await receiver.close()
    await data.remove()
  }
}

interface Target { readonly product: Product; crash(after: string): Promise<Kill>; outputs(): string }

/** The process under attack; each crash puts another one in its place, on the same data. */
function createTarget(first: Product, restart: () => Promise<Product>): Target {
  let product = first
  const outputs: string[] = []
  return {
    get product() { return product },
    outputs: () => [...outputs, product.output()].join(''),
    async crash(after) {
      const killedAt = Date.now()
      await product.kill('SIGKILL')
      outputs.push(product.output())
      product = await restart()
      return { after, recoveryMs: Date.now() - killedAt }
    },
  }
}

interface Scene { target: Target; kafka: OutsideKafka; receiver: CallbackReceiver; keys: readonly string[]; random: () => number }

async function attack(options: ChaosOptions & { say: (line: string) => void }, scene: Scene): Promise<Omit<ChaosReport, 'seconds' | 'output'>> {
  const { target, kafka, receiver, keys, random } = scene
  const { say, events, seed, perSecond, visitInMs } = options
  const url = target.product.url
  const tries = { again: 0 }
  const [core = '', ...reviewers] = keys
  const client = createClient(url, core, tries)
  const lead = createClient(url, keys.at(-1) ?? '', tries)
  const policy = await lead.insist('PUT', '/v1/policies/h-brief', { body: { hold: { for_ms: SHORTEST_HOLD_MS } } })
  if (policy.status !== 200) throw new Error(`the policy was not taken: ${policy.status} ${policy.text}`)

  const endMs = Date.now()
  const stories = cityTraffic({
    seed, events, endMs, hospitals: HOSPITALS,
    ...(visitInMs === undefined ? {} : { visitAt: (hospital) => endMs + (hospital === 'h-brief' ? visitInMs : 7 * 86_400_000) }),
  })
  const late: Promise<void>[] = []
  // A hold is seen when the consumer reads it, long after everything below stands.
  const ledger: Ledger = createLedger((hold) => { act(hold) })
  const desk: Desk = openDesk(reviewers.map((key) => createClient(url, key, tries)), ledger)
  const kills: Kill[] = []
  let killing: Promise<void> = Promise.resolve()
  const moments = Array.from({ length: options.kills }, (_, n) => 0.1 + (0.8 * (n + random())) / options.kills)
  const onProgress = (share: number): void => {
    if (moments[0] === undefined || share < moments[0]) return
    moments.shift()
    killing = killing.then(async () => { kills.push(await target.crash(`${Math.round(share * 100)} % of the load`)); say(`killed at ${Math.round(share * 100)} %, ready again after ${kills.at(-1)?.recoveryMs ?? 0} ms`) })
  }
  const load = createLoad({ stories, client, kafka, ledger, random, perSecond, onProgress })

  function act(hold: PlacedHold): void {
    late.push(meetFate(hold, { desk, random, send: (event) => load.send(event), patienceMs: 5_000 }))
  }

  let deadLetters = 0
  const follower = await kafka.follow(['booking-decisions', 'booking-holds', 'booking-events-dlq'], (topic, { value }) => {
    const text = value.toString('utf8')
    if (topic === 'booking-events-dlq') deadLetters++
    else if (topic === 'booking-holds') ledger.noteEnding('topic', text)
    else ledger.noteDecision('topic', (JSON.parse(text) as { event_id: string }).event_id, text)
  })

  const { repeats } = await load.run()
  await killing
  say(`all sent: ${ledger.sent.size} events and ${repeats} repeats; ${ledger.holds.size} holds so far`)
  const cancelled = (): ReadonlySet<string> => new Set([...ledger.sent.values()].flatMap((e) => (e.type === 'booking.cancelled' && e.order_id !== undefined ? [e.order_id] : [])))
  if (options.killAfterLoad) {
    await sleep(random() * 10_000)
    kills.push(await target.crash('the load, holds running out'))
    say(`killed while holds run out, ready again after ${kills.at(-1)?.recoveryMs ?? 0} ms`)
  }
  await untilSettled(ledger, () => receiver.received.length > 0)
  await desk.finish()
  await Promise.all(late)
  const unknown = await repeatAll(client, ledger)
  const active = await untilEnded(lead, ledger, receiver, follower, (hold) => mayBeActive(hold, cancelled()))
  if (receiver.forged > 0) ledger.violations.push(`${receiver.forged} callbacks had no good signature`)
  const verdict = judge({ ledger, active, unknown, mayBeActive: (hold) => mayBeActive(hold, cancelled()), deadLetters })
  return { ...verdict, kills, repeats, callsAgain: tries.again }
}

export const mayBeActive = (hold: PlacedHold, cancelled: ReadonlySet<string>): boolean => hold.hospital === 'h-rest' && !cancelled.has(hold.orderId)
