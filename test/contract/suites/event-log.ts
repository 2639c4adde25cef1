import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { TOPICS, type BatchHandler, type EventLog, type InMessage, type OutMessage } from '../../../src/ports/event-log.js'

export interface EventLogFixture {
  /** Another process's view of the same log (the same object where there can only be one process). */
  open(): EventLog
  dispose(): Promise<void>
}

const TOPIC = TOPICS.events
const BIG = 60_000

/** What every EventLog promises. `start` returns undefined where the real thing cannot be had; then nothing is tested. */
export function describeEventLog(name: string, start: () => Promise<EventLogFixture | undefined>): void {
  describe(`an event log (${name})`, () => {
    let fixture: EventLogFixture | undefined
    const opened: EventLog[] = []

    beforeAll(async () => {
      fixture = await start()
      if (fixture !== undefined) await open().ensureTopics()
    })
    afterEach(async () => { await closeAll() })
    afterAll(async () => { await fixture?.dispose() })

    const open = (): EventLog => {
      if (fixture === undefined) throw new Error('no fixture')
      const log = fixture.open()
      opened.push(log)
      return log
    }
    const closeAll = async () => {
      const shared = new Set(opened.splice(0))
      if (name !== 'memory') await Promise.all([...shared].map(log => log.close()))
    }
    const test = (title: string, body: () => Promise<void>) => { it(title, async ({ skip }) => { skip(fixture === undefined); await body() }, BIG) }

    test('gives back keys, headers and bytes exactly as they were published', async () => {
      const log = open()
      const world = newWorld()
      const bytes = randomBytes(2_000)
      await log.publish(TOPIC, [
        world.message('k-1', bytes, { reason: '名 [{"path":"/type"}]' }), world.message(null, 'text 文'), world.message('k-2', ''),
      ])
      const seen = collector(world)
      const subscription = await log.subscribe(TOPIC, world.group, seen.handler)
      await vi.waitFor(() => { expect(seen.messages).toHaveLength(3) }, { timeout: 20_000 })
      await subscription.stop()

      const byKey = (key: string | null) => seen.messages.find(message => (message.key?.toString() ?? null) === key)
      expect(byKey('k-1')?.value?.equals(bytes)).toBe(true)
      expect(byKey('k-1')?.headers).toEqual({ world: world.id, reason: '名 [{"path":"/type"}]' })
      expect(byKey('k-1')?.topic).toBe(TOPIC)
      expect(byKey(null)?.value?.toString()).toBe('text 文')
      expect(byKey('k-2')?.value).toEqual(Buffer.alloc(0))
    })

    test('keeps the order of each key over many calls', async () => {
      const log = open()
      const world = newWorld()
      const calls = range(100).map(call => log.publish(TOPIC, range(20).map(key => world.message(`k${key}`, String(call)))))
      await Promise.all(calls)
      const seen = collector(world)
      await log.subscribe(TOPIC, world.group, seen.handler).then(async subscription => {
        await vi.waitFor(() => { expect(seen.messages).toHaveLength(2_000) }, { timeout: 20_000 })
        await subscription.stop()
      })
      const inOrder = range(100).map(String)
      for (let key = 0; key < 20; key++) {
        expect(seen.messages.filter(message => message.key?.toString() === `k${key}`).map(({ value }) => value?.toString())).toEqual(inOrder)
      }
    })

    test('brings a rejected batch again, from its first message', async () => {
      const log = open()
      const world = newWorld()
      await log.publish(TOPIC, ['1', '2', '3'].map(value => world.message('k', value)))
      const attempts: string[][] = []
      const subscription = await log.subscribe(TOPIC, world.group, messages => {
        const mine = world.own(messages).map(text)
        if (mine.length > 0) attempts.push(mine)
        return mine.length > 0 && attempts.length < 3 ? Promise.reject(new Error('store down')) : Promise.resolve(messages.length)
      })
      await vi.waitFor(() => { expect(attempts).toHaveLength(3) }, { timeout: 20_000 })
      await subscription.stop()
      expect(attempts).toEqual([['1', '2', '3'], ['1', '2', '3'], ['1', '2', '3']])
    })

    test('moves the offset over the leading messages that are done, and no further', async () => {
      const log = open()
      const world = newWorld()
      await log.publish(TOPIC, ['1', '2', '3', '4', '5'].map(value => world.message('k', value)))
      const batches: string[][] = []
      const partly: BatchHandler = messages => {
        const mine = world.own(messages)
        if (mine.length > 0) batches.push(mine.map(text))
        const second = messages.findIndex(message => world.own([message]).length > 0) + 2
        return Promise.resolve(mine.length > 2 ? second : messages.length)
      }
      const subscription = await log.subscribe(TOPIC, world.group, partly)
      await vi.waitFor(() => { expect(batches).toHaveLength(3) }, { timeout: 20_000 })
      await subscription.stop()
      expect(batches).toEqual([['1', '2', '3', '4', '5'], ['3', '4', '5'], ['5']])
    })

    test('goes on from the committed offset after a restart', async () => {
      const world = newWorld()
      const first = open()
      await first.publish(TOPIC, range(100).map(n => world.message(`k${n % 10}`, `old ${n}`)))
      const before = collector(world)
      const reader = await first.subscribe(TOPIC, world.group, before.handler)
      await vi.waitFor(() => { expect(before.messages).toHaveLength(100) }, { timeout: 20_000 })
      await reader.stop()

      const second = open()
      await second.publish(TOPIC, range(50).map(n => world.message(`k${n % 10}`, `new ${n}`)))
      const after = collector(world)
      const subscription = await second.subscribe(TOPIC, world.group, after.handler)
      await vi.waitFor(() => { expect(after.messages).toHaveLength(50) }, { timeout: 20_000 })
      await subscription.stop()
      expect(after.messages.map(text).every(value => value.startsWith('new'))).toBe(true)
    })

    test('shares the partitions between two members and loses nothing when one joins and one leaves', async () => {
      const world = newWorld()
      const [logA, logB] = [open(), open()]
      const [a, b] = [collector(world), collector(world)]
      const publish = (part: string) => logA.publish(TOPIC, range(600).map(n => world.message(`k${n % 60}`, `${part} ${n}`)))
      const values = () => new Set([...a.messages, ...b.messages].map(text))

      const memberA = await logA.subscribe(TOPIC, world.group, a.handler)
      await publish('alone')
      const memberB = await logB.subscribe(TOPIC, world.group, b.handler)
      await publish('both')
      await vi.waitFor(() => { expect(values().size).toBe(1_200) }, { timeout: 30_000 })
      expect(b.messages.length).toBeGreaterThan(0)
      await memberA.stop()
      const seenByA = a.messages.length
      await publish('after')
      await vi.waitFor(() => { expect(values().size).toBe(1_800) }, { timeout: 30_000 })
      await memberB.stop()
      expect(a.messages).toHaveLength(seenByA)
    })

    test('tells a handler whose partition goes to another member, and counts what it finishes', async () => {
      const world = newWorld()
      const [logA, logB] = [open(), open()]
      await logA.publish(TOPIC, range(60).map(n => world.message(`k${n}`, `v${n}`)))
      const released = latch()
      const signals: AbortSignal[] = []
      const a = collector(world)
      const memberA = await logA.subscribe(TOPIC, world.group, async (messages, signal) => {
        if (world.own(messages).length > 0) { signals.push(signal); await released.opened }
        return a.handler(messages, signal)
      })
      await vi.waitFor(() => { expect(signals.length).toBeGreaterThan(1) }, { timeout: 20_000 })
      const b = collector(world)
      const joining = logB.subscribe(TOPIC, world.group, b.handler)
      await vi.waitFor(() => { expect(signals.some(signal => signal.aborted)).toBe(true) }, { timeout: 20_000 })
      released.open()
      const memberB = await joining
      await vi.waitFor(() => { expect(new Set([...a.messages, ...b.messages].map(text)).size).toBe(60) }, { timeout: 30_000 })
      await Promise.all([memberA.stop(), memberB.stop()])
    })

    test('finishes the batch in hand before it stops', async () => {
      const log = open()
      const world = newWorld()
      await log.publish(TOPIC, [world.message('k', 'in hand')])
      const released = latch()
      const state: { signal?: AbortSignal; stopped: boolean } = { stopped: false }
      const subscription = await log.subscribe(TOPIC, world.group, async (messages, signal) => {
        if (world.own(messages).length > 0) { state.signal = signal; await released.opened }
        return messages.length
      })
      await vi.waitFor(() => { expect(state.signal).toBeDefined() }, { timeout: 20_000 })
      const stopping = subscription.stop().then(() => { state.stopped = true })
      await vi.waitFor(() => { expect(state.signal?.aborted).toBe(true) })
      await sleep(300)
      expect(state.stopped).toBe(false)
      released.open()
      await stopping

      const later = collector(world)
      await log.publish(TOPIC, [world.message('k', 'later')])
      const next = await log.subscribe(TOPIC, world.group, later.handler)
      await vi.waitFor(() => { expect(later.messages.map(text)).toContain('later') }, { timeout: 20_000 })
      await next.stop()
      expect(later.messages.map(text)).toEqual(['later'])
    })

    test('publishes 10,000 messages in one call and tells the lag until they are read', async () => {
      const log = open()
      const world = newWorld()
      const gate = latch()
      const seen = collector(world)
      const subscription = await log.subscribe(TOPIC, world.group, async (messages, signal) => {
        if (world.own(messages).length > 0) await gate.opened
        return seen.handler(messages, signal)
      })
      await log.publish(TOPIC, range(10_000).map(n => world.message(`k${n % 97}`, `${n} ${'x'.repeat(900)}`)))
      await vi.waitFor(async () => { expect(await subscription.lag()).toBeGreaterThanOrEqual(10_000) }, { timeout: 20_000 })
      gate.open()
      await vi.waitFor(() => { expect(new Set(seen.messages.map(text)).size).toBe(10_000) }, { timeout: 30_000 })
      await vi.waitFor(async () => { expect(await subscription.lag()).toBe(0) }, { timeout: 20_000 })
      await subscription.stop()
    })
  })
}

/** Messages of one test among those of the others on the same topic, and a consumer group of its own. */
function newWorld() {
  const id = randomUUID()
  return {
    id,
    group: `group-${id}`,
    message: (key: string | null, value: string | Buffer, headers: Record<string, string> = {}): OutMessage =>
      ({ key, value, headers: { world: id, ...headers } }),
    own: (messages: readonly InMessage[]): InMessage[] => messages.filter(({ headers }) => headers['world'] === id),
  }
}

function collector(world: ReturnType<typeof newWorld>) {
  const messages: InMessage[] = []
  const handler: BatchHandler = batch => { messages.push(...world.own(batch)); return Promise.resolve(batch.length) }
  return { messages, handler }
}

/** A promise and the key to it. */
export function latch(): { opened: Promise<void>; open: () => void } {
  const state = { open: (): void => undefined }
  const opened = new Promise<void>(resolve => { state.open = resolve })
  return { opened, open: () => { state.open() } }
}

const text = ({ value }: InMessage): string => value?.toString() ?? ''
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
