import { describe, expect, it, vi } from 'vitest'
import type { Engine, Processed, Raw } from '../../../src/pipeline/engine.js'
import { runStream, type StreamOptions } from '../../../src/pipeline/stream.js'
import { TOPICS, type BatchHandler, type EventLog, type InMessage, type OutMessage } from '../../../src/ports/event-log.js'

const accepted = (eventId: string): Processed => ({ kind: 'accepted', eventId, duplicate: false })
const refused: Processed = { kind: 'rejected', status: 400, eventId: 'e-1', errors: [{ path: '/patient/id_number', message: 'must be a string' }] }
const bodyOf = ({ body }: Raw): string => Buffer.isBuffer(body) ? body.toString() : ''
const messagesOf = (values: readonly (string | null)[]): InMessage[] => values.map((value, at) =>
  ({ topic: TOPICS.events, partition: 3, offset: String(100 + at), key: null, value: value === null ? null : Buffer.from(value), headers: {} }))

/** Our own interfaces, held in the hand: the test calls the handler that runStream subscribed. */
async function streamOf(process: (raw: Raw) => Promise<Processed>, more: Partial<StreamOptions> = {}) {
  const published: OutMessage[] = []
  const handlers: BatchHandler[] = []
  const eventLog: EventLog = {
    ensureTopics: () => Promise.resolve(), ping: () => Promise.resolve(), close: () => Promise.resolve(),
    publish: (topic, messages) => { expect(topic).toBe(TOPICS.deadLetters); published.push(...messages); return Promise.resolve() },
    subscribe: (topic, group, handler) => {
      expect([topic, group]).toEqual([TOPICS.events, 'workers'])
      handlers.push(handler)
      return Promise.resolve({ lag: () => Promise.resolve(0), stop: () => Promise.resolve() })
    },
  }
  const hooks = { onBatch: vi.fn(), onDeadLetter: vi.fn(), onRetry: vi.fn() }
  const log = { warn: vi.fn(), error: vi.fn() }
  const engine: Engine = { process }
  await runStream({ eventLog, engine, group: 'workers', log, hooks, now: () => 0, ...more })
  const handle = (values: readonly (string | null)[], signal = new AbortController().signal) => {
    const handler = handlers[0]
    if (handler === undefined) throw new Error('nothing was subscribed')
    return handler(messagesOf(values), signal)
  }
  return { handle, published, hooks, log, eventLog }
}

describe('the stream worker', () => {
  it('gives messages to the engine in order, without waiting for the result of one before the next', async () => {
    const calls: string[] = []
    const open: (() => void)[] = []
    const { handle } = await streamOf(raw => {
      calls.push(bodyOf(raw))
      return new Promise(resolve => open.push(() => { resolve(accepted('e')) }))
    })
    const values = Array.from({ length: 200 }, (_, n) => String(n))
    const done = handle(values)
    await vi.waitFor(() => { expect(calls).toHaveLength(200) })
    expect(calls).toEqual(values)
    for (const settle of open.reverse()) settle()
    expect(await done).toBe(200)
  })

  it('sends what is refused to the dead letters: raw bytes, place, status and reasons, keyed by order', async () => {
    const { handle, published, hooks } = await streamOf(raw => Promise.resolve(bodyOf(raw).includes('bad') ? refused : accepted('e')))
    const bad = '{"order_id":"o-7","bad":1}'
    expect(await handle(['{}', bad, '{"specversion":"1.0","data":{"order_id":"o-8"},"bad":1}', 'bad'])).toBe(4)
    expect(published.map(({ key }) => key)).toEqual(['o-7', 'o-8', null])
    expect(published[0]).toEqual({
      key: 'o-7', value: Buffer.from(bad),
      headers: {
        topic: 'booking-events', partition: '3', offset: '101', status: '400', event_id: 'e-1',
        reason: '[{"path":"/patient/id_number","message":"must be a string"}]',
      },
    })
    expect(hooks.onDeadLetter.mock.calls).toEqual([[400], [400], [400]])
  })

  it('makes a dead letter of a message without a value, and never shows it to the engine', async () => {
    const { handle, published } = await streamOf(() => Promise.reject(new Error('must not be called')))
    expect(await handle([null])).toBe(1)
    expect(published[0]?.value).toEqual(Buffer.alloc(0))
    expect(published[0]?.headers).toMatchObject({ offset: '100', reason: '[{"path":"","message":"the message has no value (tombstone)"}]' })
  })

  it('keeps a dead letter small enough to be published, however much is wrong', async () => {
    const errors = Array.from({ length: 5_000 }, (_, n) => ({ path: `/x/${n}`, message: 'is unknown' }))
    const { handle, published } = await streamOf(() => Promise.resolve({ kind: 'rejected', status: 409, eventId: 'e'.repeat(1_000_000), errors }))
    await handle(['{}'])
    expect(JSON.stringify(published[0]?.headers).length).toBeLessThan(4_000)
    expect(published[0]?.headers?.['reason']).toContain('and 4950 more errors')
    expect(published[0]?.headers).not.toHaveProperty('event_id')
  })

  it('does not move the offset over a dead letter that is not acknowledged', async () => {
    const { handle, eventLog, hooks } = await streamOf(() => Promise.resolve(refused))
    eventLog.publish = () => Promise.reject(new Error('broker down'))
    expect(await handle(['a', 'b'])).toBe(0)
    expect(hooks.onRetry).toHaveBeenCalledWith('dead_letter_failed')
    expect(hooks.onDeadLetter).not.toHaveBeenCalled()
  })

  it('waits until dead letters are acknowledged before it calls them done', async () => {
    const { handle, eventLog } = await streamOf(() => Promise.resolve(refused))
    const acknowledge: (() => void)[] = []
    eventLog.publish = () => new Promise(resolve => { acknowledge.push(resolve) })
    const state = { done: false }
    const done = handle(['a']).then(count => { state.done = true; return count })
    await vi.waitFor(() => { expect(acknowledge).toHaveLength(1) })
    await new Promise(setImmediate)
    expect(state.done).toBe(false)
    acknowledge[0]?.()
    expect(await done).toBe(1)
  })

  it('waits and tries again when the engine is overloaded, and drops nothing', async () => {
    const taken: string[] = []
    let room = 2
    const { handle, hooks } = await streamOf(raw => {
      if (room === 0) { setTimeout(() => { room = 2 }, 5); return Promise.resolve({ kind: 'overloaded', retryAfterMs: 10 }) }
      room--
      taken.push(bodyOf(raw))
      return Promise.resolve(accepted('e'))
    })
    expect(await handle(['1', '2', '3', '4', '5'])).toBe(5)
    expect(taken).toEqual(['1', '2', '3', '4', '5'])
    expect(hooks.onRetry).toHaveBeenCalledWith('overloaded')
  })

  it('counts only the messages before a fault as done', async () => {
    const { handle, log, hooks } = await streamOf(raw =>
      bodyOf(raw) === '3' ? Promise.reject(new Error('store down')) : Promise.resolve(accepted('e')))
    expect(await handle(['1', '2', '3', '4'])).toBe(2)
    expect(hooks.onRetry).toHaveBeenCalledWith('fault')
    expect(hooks.onBatch).toHaveBeenCalledWith({ messages: 4, done: 2, tookMs: 0 })
    expect(log.error.mock.calls[0]?.[0]).toEqual({ topic: 'booking-events', partition: 3, offset: '102', error: 'store down' })
  })

  it('does not publish the dead letter of a message behind a fault, which will come again', async () => {
    const { handle, published } = await streamOf(raw => bodyOf(raw) === 'fault' ? Promise.reject(new Error('store down')) : Promise.resolve(refused))
    expect(await handle(['bad', 'fault', 'bad'])).toBe(1)
    expect(published).toHaveLength(1)
  })

  it.each([
    ['bytes', { maxInFlightBytes: 1_000 }],
    ['messages', { maxInFlightMessages: 10 }],
  ])('never has more %s in hand than it may', async (_, bounds) => {
    let inHand = 0
    let most = 0
    const { handle } = await streamOf(async () => {
      most = Math.max(most, ++inHand)
      await new Promise(setImmediate)
      inHand--
      return accepted('e')
    }, bounds)
    const values = Array.from({ length: 200 }, () => 'x'.repeat(100))
    expect(await Promise.all([handle(values), handle(values)])).toEqual([200, 200])
    expect(most).toBe(10)
  })

  it('takes a message that is bigger than the whole bound, alone', async () => {
    const { handle } = await streamOf(() => Promise.resolve(accepted('e')), { maxInFlightBytes: 10 })
    expect(await handle(['x', 'x'.repeat(1_000), 'x'])).toBe(3)
  })

  it('finishes what is in hand and takes nothing new when its partition is taken away', async () => {
    const turn = new AbortController()
    const { handle } = await streamOf(async raw => {
      if (bodyOf(raw) === '5') turn.abort()
      await new Promise(setImmediate)
      return accepted('e')
    }, { maxInFlightMessages: 1 })
    expect(await handle(['1', '2', '3', '4', '5', '6', '7'], turn.signal)).toBe(5)
  })
})
