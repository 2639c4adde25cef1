import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { HoldResolved } from '../../../src/domain/hold.js'
import { runHoldLifecycle, type HoldLifecycleOptions } from '../../../src/pipeline/hold-lifecycle.js'
import { OUTBOX_SINKS, type EnforcementStore, type OutboxMessage, type OutboxSink } from '../../../src/ports/enforcement-store.js'

/** Only the half of the store that the lifecycle uses: a list of messages and a number of due holds. */
function aStore(): { store: EnforcementStore; end: (...ids: string[]) => void; due: number[] } {
  const waiting = new Map<OutboxSink, OutboxMessage[]>(OUTBOX_SINKS.map((sink) => [sink, []]))
  const due: number[] = []
  const unused = (): Promise<never> => Promise.reject(new Error('not part of the lifecycle'))
  const store: EnforcementStore = {
    apply: unused, resolve: unused, get: unused, list: unused, ping: unused,
    expireDue: (now, limit) => Promise.resolve(due.splice(0, Math.min(limit, due.filter((at) => at <= now).length)).length),
    pending: (sink, limit) => Promise.resolve((waiting.get(sink) ?? []).slice(0, limit)),
    delivered: (sink, ids) => {
      waiting.set(sink, (waiting.get(sink) ?? []).filter((m) => !ids.includes(m.outboxId)))
      return Promise.resolve()
    },
  }
  const end = (...ids: string[]): void => {
    for (const id of ids) {
      const outcome = { resolution: 'expired', action: 'confirm', by: 'system', reason: 'expired', at: '' } as const
      const resolved: HoldResolved = { hold_id: id, event_id: id, order_id: id, ...outcome }
      for (const queue of waiting.values()) queue.push({ outboxId: id, orderId: id, holdId: id, body: JSON.stringify(resolved), resolved })
    }
  }
  return { store, end, due }
}

describe('the hold lifecycle', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 0 }) })
  afterEach(() => { vi.useRealTimers() })

  const running: { stop(): Promise<void> }[] = []
  afterEach(async () => { await Promise.all(running.splice(0).map((r) => r.stop())) })

  interface Seen {
    topic: string[][]; history: { token: string; ids: string[] }[]; callback: string[][]; failed: string[]; expired: number; logged: string[]
  }

  function start(store: EnforcementStore, changes: Partial<HoldLifecycleOptions> = {}, configured = true): Seen {
    const seen: Seen = { topic: [], history: [], callback: [], failed: [], expired: 0, logged: [] }
    running.push(runHoldLifecycle({
      store, now: () => Date.now(), random: () => 1,
      log: { warn: (fields, message) => { seen.logged.push(JSON.stringify(fields) + message) } },
      publishTopic: (messages) => { seen.topic.push(messages.map((m) => m.holdId)); return Promise.resolve() },
      recordHistory: (token, batch) => { seen.history.push({ token, ids: batch.map((r) => r.hold_id) }); return Promise.resolve() },
      ...(configured && { callback: (messages) => {
        seen.callback.push(messages.map((m) => m.holdId))
        return Promise.resolve(messages.map((m) => m.outboxId))
      } }),
      metrics: { expired: (n) => { seen.expired += n }, delivered: () => undefined, failed: (step) => { seen.failed.push(step) } },
      ...changes,
    }))
    return seen
  }
  const after = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

  it('expires holds within a second of their time, and full batches without a pause', async () => {
    const { store, due } = aStore()
    due.push(...Array.from({ length: 250 }, () => 5_000))
    const seen = start(store)
    await after(4_999)
    expect(seen.expired).toBe(0)
    await after(1_001)
    expect(seen.expired).toBe(250)
  })

  it('brings an ended hold to every sink once, in order', async () => {
    const { store, end } = aStore()
    end('b', 'a')
    const seen = start(store)
    await after(0)
    end('c')
    await after(5_000)
    expect(seen.topic).toEqual([['b', 'a'], ['c']])
    expect(seen.callback).toEqual([['b', 'a'], ['c']])
    expect(seen.history).toEqual([{ token: 'holds-b,a', ids: ['b', 'a'] }, { token: 'holds-c', ids: ['c'] }])
  })

  it('keeps trying a sink that is down, ever more slowly, and never makes the others wait', async () => {
    const { store, end } = aStore()
    end('a')
    const tries: number[] = []
    const seen = start(store, { publishTopic: () => { tries.push(Date.now()); return Promise.reject(new Error('broker is down')) } })
    await after(30_000)
    expect(tries.slice(0, 7)).toEqual([0, 250, 750, 1_750, 3_750, 7_750, 12_750])
    expect(seen.failed).toEqual(tries.map(() => 'topic'))
    expect(seen.logged[0]).toContain('broker is down')
    end('b')
    await after(1_000)
    expect(seen.callback).toEqual([['a'], ['b']])
    expect((await store.pending('topic', 10)).map((m) => m.holdId)).toEqual(['a', 'b'])
  })

  it('delivers everything once a sink is back', async () => {
    const { store, end } = aStore()
    end(...Array.from({ length: 350 }, (_, i) => `m${i}`))
    let down = true
    const got: string[] = []
    start(store, { publishTopic: (messages) => {
      if (down) return Promise.reject(new Error('down'))
      got.push(...messages.map((m) => m.holdId))
      return Promise.resolve()
    } })
    await after(60_000)
    down = false
    await after(5_000)
    expect(got).toEqual(Array.from({ length: 350 }, (_, i) => `m${i}`))
  })

  it('lets a message that is always refused wait alone', async () => {
    const { store, end } = aStore()
    end('poison')
    const tries = new Map<string, number>()
    start(store, { callback: (messages) => {
      for (const { holdId } of messages) tries.set(holdId, (tries.get(holdId) ?? 0) + 1)
      return Promise.resolve(messages.map((m) => m.outboxId).filter((id) => id !== 'poison'))
    } })
    for (let i = 0; i < 20; i++) {
      end(`m${i}`)
      await after(5_000)
      expect(tries.get(`m${i}`)).toBe(1)
    }
    expect(tries.get('poison')).toBeLessThan(12)
    expect((await store.pending('callback', 10)).map((m) => m.holdId)).toEqual(['poison'])
  })

  it('survives a store that fails and goes on by itself', async () => {
    const { store, due } = aStore()
    due.push(0)
    let down = true
    const seen = start({ ...store, expireDue: (now, limit) => (down ? Promise.reject(new Error('no database')) : store.expireDue(now, limit)) })
    await after(3_000)
    down = false
    await after(5_000)
    expect(seen.expired).toBe(1)
    expect(seen.failed).toContain('expiry')
  })

  it('sends nothing to a callback that is not configured', async () => {
    const { store, end } = aStore()
    end('a')
    const seen = start(store, {}, false)
    await after(5_000)
    expect(seen.topic).toEqual([['a']])
    expect(seen.history).toHaveLength(1)
    expect(seen.failed).toEqual([])
    expect(await store.pending('callback', 10)).toHaveLength(1)
  })

  it('stops after the round in hand, and starts nothing new', async () => {
    const { store, end } = aStore()
    end('a')
    let finish: () => void = () => undefined
    const seen = start(store, { publishTopic: () => new Promise((resolve) => { finish = resolve }) })
    await after(0)
    let stopped = false
    const stopping = Promise.all(running.map((r) => r.stop())).then(() => { stopped = true })
    await after(0)
    expect(stopped).toBe(false)
    finish()
    await stopping
    expect(await store.pending('topic', 10)).toEqual([])
    end('b')
    await after(10_000)
    expect(seen.callback).toEqual([['a']])
  })
})
