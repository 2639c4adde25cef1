import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../support/client.js'
import type { OutsideKafka } from '../support/outside-kafka.js'
import { pick } from '../support/people.js'
import type { Story, WireEvent } from '../support/traffic.js'
import type { Ledger } from './ledger.js'

export interface LoadOptions {
  stories: readonly Story[]
  client: Client
  kafka: OutsideKafka
  ledger: Ledger
  random: () => number
  /** Events handed over per second, repeats not counted. */
  perSecond: number
  /** After each event handed over; `share` goes from 0 to 1. */
  onProgress: (share: number) => void
}

/** The platform's side of the load: one sender for both roads, which never gives up. */
export interface Load {
  /** One event by a road of chance (or the one given), as a repeat of itself or not. Resolves once it is acknowledged. */
  send(event: WireEvent, how?: { road?: 'http' | 'topic'; key?: string; disguised?: boolean }): Promise<void>
  /** Sends all stories, with repeats among them. Resolves when all is acknowledged. */
  run(): Promise<{ repeats: number }>
}

/** How a story travels: on one partition, scattered over partitions, over HTTP in its order, or each event anyhow. */
const TRAVELS = ['partition', 'partition', 'partition', 'scattered', 'http', 'http', 'anyhow'] as const
const REPEAT_SHARE = 0.08
const REPEAT_REACH = 3_000
const CALLS_AT_ONCE = 24
/** More calls than this are not kept waiting: then the whole load waits, as a platform's queue would. */
const CALLS_WAITING = 3_000
const FLUSH_MS = 40

export function createLoad({ stories, client, kafka, ledger, random, perSecond, onProgress }: LoadOptions): Load {
  const calls = createSlots(CALLS_AT_ONCE)
  const topic = createBatcher<Message>((messages) => kafka.send('booking-events', messages))
  // A call each would meet the rate limit of 2,000 a second: /events is for many at a time.
  const bulk = createBatcher<string>(async (bodies) => {
    const { status, text } = await client.insist('POST', '/v1/events', { body: `[${bodies.join(',')}]` })
    if (status !== 200 || !text.includes('"rejected":[]')) ledger.violations.push(`${bodies.length} events over HTTP: ${status} ${text.slice(0, 300)}`)
  })

  async function score(event: WireEvent, body: string): Promise<void> {
    await calls.enter()
    try {
      const { status, text } = await client.insist('POST', '/v1/score', { body })
      if (status === 200) ledger.noteDecision('http', event.event_id, text)
      else ledger.violations.push(`${event.event_id} over HTTP: ${status} ${text.slice(0, 300)}`)
    } finally {
      calls.leave()
    }
  }

  const send: Load['send'] = (event, how = {}) => {
    ledger.noteSent(event)
    const body = JSON.stringify(how.disguised === true ? disguise(event, random) : event)
    const road = how.road ?? pick(random, ['http', 'topic'] as const)
    if (road === 'topic') return topic.add({ key: how.key ?? String(random()), value: body })
    return event.type === 'booking.requested' ? score(event, body) : bulk.add(body)
  }

  return {
    send,
    async run() {
      const all = inTimeOrder(stories, random)
      const underWay = new Set<Promise<void>>()
      const lanes = new Map<Story, Promise<void>>()
      const startedAt = Date.now()
      const watch = (work: Promise<void>): void => {
        const settled = work
          .catch((fault: unknown) => { ledger.violations.push(`the load could not be sent: ${String(fault)}`) })
          .finally(() => { underWay.delete(settled) })
        underWay.add(settled)
      }
      let repeats = 0
      for (const [n, { event, story, travel }] of all.entries()) {
        const road = travel === 'http' ? 'http' : travel === 'anyhow' ? pick(random, ['http', 'topic'] as const) : 'topic'
        if (travel === 'http') lanes.set(story, (lanes.get(story) ?? Promise.resolve()).then(() => send(event, { road })))
        watch(travel === 'http' ? lanes.get(story) ?? Promise.resolve() : send(event, travel === 'partition' ? { road, key: story.key } : { road }))
        if (random() < REPEAT_SHARE) {
          const earlier = all[Math.max(0, n - Math.floor(random() * REPEAT_REACH))]
          if (earlier) { repeats++; watch(send(earlier.event, { disguised: true })) }
        }
        onProgress((n + 1) / all.length)
        const aheadMs = startedAt + (n * 1_000) / perSecond - Date.now()
        if (aheadMs > 20) await sleep(aheadMs)
        while (underWay.size > CALLS_WAITING) await sleep(20)
      }
      await Promise.all(underWay)
      return { repeats }
    },
  }
}

interface Planned { event: WireEvent; story: Story; travel: (typeof TRAVELS)[number] }

function inTimeOrder(stories: readonly Story[], random: () => number): Planned[] {
  const all = stories.flatMap((story) => {
    const travel = pick(random, TRAVELS)
    return story.events.map((event) => ({ event, story, travel }))
  })
  return all.sort((a, b) => (a.event.occurred_at < b.event.occurred_at ? -1 : a.event.occurred_at > b.event.occurred_at ? 1 : 0))
}

/** The same event in other bytes: in another order, with a field we do not know, or in a CloudEvents envelope. */
function disguise(event: WireEvent, random: () => number): object {
  const turn = random()
  if (turn < 0.33) return Object.fromEntries(Object.entries(event).reverse())
  if (turn < 0.66) return { ...event, 'x-sent-again': true }
  return { specversion: '1.0', id: event.event_id, source: '/platform', type: event.type, data: event }
}

function createSlots(count: number): { enter(): Promise<void>; leave(): void } {
  const waiting: (() => void)[] = []
  let free = count
  return {
    enter: () => {
      if (free > 0) { free--; return Promise.resolve() }
      return new Promise((enter) => { waiting.push(enter) })
    },
    leave: () => {
      const next = waiting.shift()
      if (next) next()
      else free++
    },
  }
}

interface Message { key: string; value: string }

/** Gathers messages for a moment and sends them together, one batch after the other. */
function createBatcher<T>(send: (messages: readonly T[]) => Promise<void>): { add(message: T): Promise<void> } {
  let batch: T[] = []
  let next: Promise<void> | undefined
  let before: Promise<void> = Promise.resolve()
  const flush = async (previous: Promise<void>): Promise<void> => {
    await Promise.all([sleep(FLUSH_MS), previous])
    const messages = batch
    batch = []
    next = undefined
    await send(messages)
  }
  return {
    add(message) {
      batch.push(message)
      if (next === undefined) {
        next = flush(before)
        // The caller hears of a failure; the batches after it go on.
        before = next.catch(() => undefined)
      }
      return next
    },
  }
}
