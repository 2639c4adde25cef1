import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openFileJournal } from '../../../src/adapters/file/journal.js'
import { MemoryVelocityStore } from '../../../src/adapters/memory/velocity-store.js'
import type { Decision } from '../../../src/domain/decision.js'
import type { Exchange, LogWrite } from '../../../src/domain/packed-log.js'
import type { PolicyPatch } from '../../../src/domain/policy.js'
import type { Processed } from '../../../src/pipeline/engine.js'
import { replayLines } from '../../../src/pipeline/replay.js'
import type { Effects } from '../../../src/ports/recorder.js'
import type { VelocityStore } from '../../../src/ports/velocity-store.js'
import { INDEX } from '../../../src/scoring/catalogue.js'
import { kindIndex, layoutOf } from '../../../src/scoring/plan.js'
import type { Rulebook } from '../../../src/scoring/score.js'
import { morning, MORNING_OUTCOMES, MORNING_OVER_MS, type WireEvent } from '../../fixtures/morning.js'
import { decidedOf, essence, liveEngine, replayEngine, runAll, shippedRulebook } from '../../support/engine.js'
import { seeded } from '../../support/people.js'

const NOW = MORNING_OVER_MS
let rulebook: Rulebook
beforeAll(async () => { rulebook = await shippedRulebook() })

const named = (id: string): WireEvent => {
  const found = morning().find((e) => e.event_id === id)
  if (!found) throw new Error(`no event ${id} in the morning`)
  return found
}
/** The last hand-off's request and all before it: certain to be held. */
const HELD = 'mo-buyer-3'
const before = (id: string): WireEvent[] => morning().slice(0, morning().findIndex((e) => e.event_id === id))
const enveloped = (event: WireEvent): unknown => ({ specversion: '1.0', id: `ce-${event.event_id}`, source: '/booking', type: event.type, datacontenttype: 'application/json', data: event })

async function* linesOf(events: readonly unknown[]): AsyncGenerator<string> {
  for (const event of events) { await Promise.resolve(); yield JSON.stringify(event) }
}

async function replayed(events: readonly unknown[], key = 1): Promise<Processed[]> {
  const engine = await replayEngine(rulebook, key)
  const results: Processed[] = []
  const watching = { process: async (raw: Parameters<typeof engine.process>[0]) => { const result = await engine.process(raw); results.push(result); return result } }
  await replayLines(linesOf(events), watching, { backfill: false, sinks: { decided: () => undefined, rejected: (line, status) => { throw new Error(`line ${line}: ${status}`) } } })
  return results
}

function expectOutcomes(results: readonly Processed[]): void {
  const decided = decidedOf(results).filter((r) => !r.duplicate)
  expect(decided.map((r) => r.eventId).sort()).toEqual(Object.keys(MORNING_OUTCOMES).sort())
  for (const { eventId, decision } of decided) expect([eventId, MORNING_OUTCOMES[eventId]]).toEqual([eventId, expect.arrayContaining([decision.outcome])])
}

describe('every road', () => {
  it('gives each request of the morning what a sensible policy may give', async () => { expectOutcomes(await replayed(morning())) })

  const roads: [name: string, run: (events: WireEvent[]) => Promise<Processed[]>][] = [
    ['replay again', (events) => replayed(events)],
    ['replay with another token key', (events) => replayed(events, 77)],
    ['live, one by one', async (events) => runAll((await liveEngine(rulebook, NOW)).engine, events)],
    ['live, all at once', async (events) => { const { engine } = await liveEngine(rulebook, NOW); return Promise.all(events.map((json) => engine.process({ body: { json } }))) }],
    ['live, as bytes', async (events) => { const { engine } = await liveEngine(rulebook, NOW); return Promise.all(events.map((e) => engine.process({ body: Buffer.from(JSON.stringify(e)) }))) }],
    ['live, in CloudEvents envelopes', async (events) => runAll((await liveEngine(rulebook, NOW)).engine, events.map(enveloped))],
    ['live, with lifecycle events twice', async (events) => runAll((await liveEngine(rulebook, NOW)).engine, events.flatMap((e) => (e.type === 'booking.requested' ? [e] : [e, e])))],
    ['live, days later', async (events) => runAll((await liveEngine(rulebook, NOW + 3 * 86_400_000)).engine, events)],
  ]
  it.each(roads)('agrees with replay: %s', async (_name, run) => {
    const expected = essence(await replayed(morning()))
    expect(expected).toHaveLength(Object.keys(MORNING_OUTCOMES).length)
    expect(essence(await run(morning()))).toEqual(expected)
  })

  it('agrees on any arrival order within a second, and gives what a sensible policy may give', async () => {
    const secondOf = (e: WireEvent): number => Math.floor(Date.parse(e.occurred_at) / 1000)
    for (const seed of [1, 2, 3, 4, 5]) {
      const random = seeded(seed)
      const seconds: WireEvent[][] = []
      for (const event of morning()) {
        const last = seconds.at(-1)
        // Late bindings stay where they arrive: only neighbours of one second change places.
        if (last?.[0] && secondOf(last[0]) === secondOf(event)) last.push(event)
        else seconds.push([event])
      }
      const shuffled = seconds.flatMap((events) => events.map((event) => ({ event, luck: random() })).sort((a, b) => a.luck - b.luck).map(({ event }) => event))
      const results = await replayed(shuffled)
      expectOutcomes(results)
      expect(essence(await runAll((await liveEngine(rulebook, NOW)).engine, shuffled))).toEqual(essence(results))
    }
  })
})

describe('a repeat', () => {
  it('gets the same bytes and counts nothing', async () => {
    const { engine, journal } = await liveEngine(rulebook, NOW)
    const first = decidedOf(await runAll(engine, morning()))
    const { lastSeq } = journal
    const second = decidedOf(await runAll(engine, morning()))
    expect(second.map((r) => [r.bytes, r.duplicate])).toEqual(first.map((r) => [r.bytes, true]))
    expect(journal.lastSeq).toBe(lastSeq)
  })

  it('in the same instant waits for the first and gets its bytes', async () => {
    const { engine, journal } = await liveEngine(rulebook, NOW)
    const results = decidedOf(await Promise.all(Array.from({ length: 5 }, () => engine.process({ body: { json: named('mo-husband') } }))))
    expect(new Set(results.map((r) => r.bytes)).size).toBe(1)
    expect(results.map((r) => r.duplicate)).toEqual([false, true, true, true, true])
    expect(journal.lastSeq).toBe(1)
  })

  it('is the same in an envelope and with fields that nobody knows', async () => {
    const { engine } = await liveEngine(rulebook, NOW)
    const event = named('mo-husband')
    const results = await runAll(engine, [event, enveloped(event), { ...event, colour: 'blue' }])
    expect(results.map((r) => r.kind === 'decided' && r.duplicate)).toEqual([false, true, true])
  })

  it('with another content is a conflict that says nothing of either', async () => {
    const { engine } = await liveEngine(rulebook, NOW)
    const event = named('mo-husband')
    const [, conflict] = await runAll(engine, [event, { ...event, order_id: 'o-other' }])
    expect(conflict).toMatchObject({ kind: 'rejected', status: 409, eventId: 'mo-husband', errors: [{ path: '/event_id' }] })
    expect(JSON.stringify(conflict)).not.toContain('o-other')
  })

  it('does not overtake the hold that the first one is still waiting for', async () => {
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => { open = resolve })
    const { engine, journal } = await liveEngine(rulebook, NOW, { apply: ({ holds }) => (holds.some((h) => h.eventId === HELD) ? opened : Promise.resolve()) })
    await runAll(engine, before(HELD))
    const order: string[] = []
    const ask = (name: string) => engine.process({ body: { json: named(HELD) } }).then((result) => { order.push(name); return result })
    const [first, second] = [ask('first'), ask('second')]
    await journal.find(HELD)
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    expect(order).toEqual([])
    open()
    const results = decidedOf(await Promise.all([first, second]))
    expect(results.map((r) => r.duplicate)).toEqual([false, true])
    expect(new Set(results.map((r) => r.bytes)).size).toBe(1)
    expect(order).toEqual(['first', 'second'])
  })

  it('too old to be known any more is refused, never decided anew', async () => {
    const journal = await retiredJournal(() => Promise.resolve(undefined))
    const { engine } = await liveEngine(rulebook, NOW, { journal })
    expect(await engine.process({ body: { json: named('mo-husband') } })).toMatchObject({ kind: 'rejected', status: 410 })
    await journal.close()
  })

  let root = ''
  afterAll(() => rm(root, { recursive: true, force: true }))
  /** A journal that has retired the record of mo-husband. */
  async function retiredJournal(older: () => Promise<undefined>): ReturnType<typeof openFileJournal> {
    root = await mkdtemp(join(tmpdir(), 'process-event-'))
    const journal = await openFileJournal({ dir: root, segmentBytes: 1, tailRecords: 1, older })
    await runAll((await liveEngine(rulebook, NOW, { journal })).engine, [named('mo-husband'), named('mo-giver')])
    expect(await journal.retire(2, { records: Infinity, ids: 0 })).toBe(1)
    return journal
  }
})

describe('the times that are taken', () => {
  const shifted = (ms: number): WireEvent => ({ ...named('mo-husband'), occurred_at: new Date(NOW + ms).toISOString() })
  const deps = { decidedAt: () => NOW, accepted: () => ({ notAfter: NOW + 300_000, notBefore: NOW - 30 * 86_400_000 }) }

  it('end five minutes ahead of the clock', async () => {
    expect((await (await liveEngine(rulebook, NOW, deps)).engine.process({ body: { json: shifted(300_000) } })).kind).toBe('decided')
    const { engine, journal } = await liveEngine(rulebook, NOW, deps)
    expect(await engine.process({ body: { json: shifted(300_001) } })).toMatchObject({ kind: 'rejected', status: 400, errors: [{ path: '/occurred_at' }] })
    expect(journal.lastSeq).toBe(0)
  })

  it('begin where repeats are no longer known; a back-fill may be of any age', async () => {
    const old = shifted(-30 * 86_400_000 - 1)
    const { engine } = await liveEngine(rulebook, NOW, deps)
    expect(await engine.process({ body: { json: old } })).toMatchObject({ kind: 'rejected', status: 410, errors: [{ path: '/occurred_at' }] })
    expect((await engine.process({ body: { json: old }, backfill: true })).kind).toBe('decided')
  })
})

describe('a back-fill', () => {
  it('is counted and decided for the record, but holds nothing, and what follows live sees it', async () => {
    const { engine, journal, applied } = await liveEngine(rulebook, NOW)
    const past = before(HELD)
    for (const json of past) await engine.process({ body: { json }, backfill: true })
    expect(applied).toEqual([])
    const records = await Promise.all(past.map(async (e) => journal.find(e.event_id)))
    for (const record of records) expect(record).toMatchObject({ backfilled: true, acceptedAt: record?.event.occurredAt })
    expect(records.some((r) => r?.review?.would_be.outcome === 'hold')).toBe(true)
    expect(records.every((r) => r?.decision === undefined || r.decision.includes('"outcome":"allow"'))).toBe(true)
    const [live] = decidedOf(await runAll(engine, [named(HELD)]))
    expect(live?.decision.outcome).toBe('hold')
    expect(applied.flatMap((e: Effects) => e.holds).map((h) => h.eventId)).toEqual([HELD])
  })
})

describe('pressure and faults', () => {
  it('turn an event away, without a trace, when too much is in hand or the door is shut', async () => {
    let shut = false
    const { engine, journal } = await liveEngine(rulebook, NOW, { isPaused: () => shut })
    shut = true
    expect(await engine.process({ body: { json: named('mo-husband') } })).toEqual({ kind: 'overloaded', retryAfterMs: 1_000 })
    expect(journal.find('mo-husband')).toBeUndefined()
    shut = false
    expect((await engine.process({ body: { json: named('mo-husband') } })).kind).toBe('decided')
    const full = await liveEngine(rulebook, NOW, { maxInFlight: 0 })
    expect((await full.engine.process({ body: { json: named('mo-husband') } })).kind).toBe('overloaded')
  })

  it('once the journal is broken count nothing and give no decision out', async () => {
    const { journal: sound } = await liveEngine(rulebook, NOW)
    const broken = Object.create(sound, { fault: { value: new Error('the journal cannot be written any more') } }) as typeof sound
    const { engine, velocity } = await liveEngine(rulebook, NOW, { journal: broken })
    await expect(engine.process({ body: { json: named('mo-husband') } })).rejects.toThrow('cannot be written')
    expect(velocity.size.entities).toBe(0)
  })

  it('say what is wrong with a body and keep no trace of it', async () => {
    const { engine, journal } = await liveEngine(rulebook, NOW)
    expect(await engine.process({ body: '{"event_id":"x"' })).toMatchObject({ kind: 'rejected', status: 400 })
    expect(await engine.process({ body: { json: named('mo-cancel-giver') }, requestOnly: true })).toMatchObject({ kind: 'rejected', status: 400, errors: [{ path: '/type' }] })
    expect(journal.lastSeq).toBe(0)
  })
})

describe('a hold', () => {
  it('is in the enforcement store before its decision is given out, and says the same', async () => {
    const { engine, applied } = await liveEngine(rulebook, NOW)
    await runAll(engine, before(HELD))
    applied.length = 0
    const [held] = decidedOf(await runAll(engine, [named(HELD)]))
    const [hold] = applied.flatMap((e) => e.holds)
    expect(held?.decision.hold?.hold_id).toBe(hold?.holdId)
    expect(hold).toMatchObject({ eventId: HELD, orderId: 'o-buyer-3', hospitalId: 'h-042', scheduleId: 's-20261202-d3300-pm', placedAt: Date.parse(held?.decision.decided_at ?? '') })
    expect(held?.decision.hold?.expires_at).toBe(new Date(hold?.expiresAt ?? 0).toISOString())
  })

  it.each(['booking.cancelled', 'booking.expired', 'booking.confirmed'])('is never placed on an order whose %s came before its late request', async (type) => {
    const { engine, applied, journal } = await liveEngine(rulebook, NOW)
    const request = named(HELD)
    const later = new Date(Date.parse(request.occurred_at) + 60_000).toISOString()
    await runAll(engine, [...before(HELD), { event_id: 'end', type, occurred_at: later, order_id: request.order_id }])
    applied.length = 0
    const [decided] = decidedOf(await runAll(engine, [request]))
    expect(decided?.decision).toMatchObject({ outcome: 'allow', reasons: [] })
    expect((await journal.find(HELD))?.review?.would_be.outcome).toBe('hold')
    expect(applied.flatMap((e) => e.holds)).toEqual([])
  })

  it('is placed when the order was cancelled before and is asked for again', async () => {
    const { engine, applied } = await liveEngine(rulebook, NOW)
    const request = named(HELD)
    const [first, end] = [-2_000, -1_000].map((ms) => new Date(Date.parse(request.occurred_at) + ms).toISOString())
    await runAll(engine, [...before(HELD), { ...request, event_id: 'first', occurred_at: first }, { event_id: 'end', type: 'booking.cancelled', occurred_at: end, order_id: request.order_id }, request])
    expect(applied.flatMap((e) => e.holds).map((h) => h.eventId)).toContain(HELD)
  })
})

describe('when the velocity store does not answer', () => {
  type Fails = (trip: number, writes: readonly LogWrite[]) => boolean
  /** The memory store behind a line that fails, while `isDown`, on the trips of a conversation (1: the first) that are told. */
  function failing(fails: Fails) {
    const inner = new MemoryVelocityStore({ layout: layoutOf(rulebook.plan) })
    const line = { isDown: true }
    const velocity: VelocityStore = {
      incomplete: false, generation: 'g1',
      async run<T>(exchange: Exchange<T>): Promise<T> {
        await Promise.resolve()
        let trips = 0
        function* cut(): Exchange<T> {
          for (let step = exchange.next(); ;) {
            if (step.done === true) return step.value
            if (fails(++trips, step.value) && line.isDown) throw new Error('the store does not answer')
            step = exchange.next(yield step.value)
          }
        }
        return inner.run(cut())
      },
    }
    return { velocity, line }
  }
  const bookOf = (patch: PolicyPatch): Promise<Rulebook> => shippedRulebook([{ hospitalId: 'h-042', patch, changedBy: 'anna', changedAt: 0, revision: 1 }])
  const always: Fails = () => true
  /** Everything from the order's history on comes from counters. */
  const velocityNames = (): string[] => [...rulebook.catalogue.values()].filter((f) => f.index >= INDEX.order_attempt).map((f) => f.name)

  it.each([1, 2])('a booking is decided all the same, says so, and is recorded as still to be counted (trip %i fails)', async (failAt) => {
    const { velocity, line } = failing((trip) => trip >= failAt)
    const faults: unknown[] = []
    const { engine, journal } = await liveEngine(rulebook, NOW, { velocity: () => velocity, onUncounted: (fault) => { faults.push(fault) } })
    line.isDown = false
    await runAll(engine, before(HELD))
    line.isDown = true
    const [held] = decidedOf(await runAll(engine, [named(HELD)]))
    const record = await journal.find(HELD)
    expect(held?.decision.degraded).toEqual(['velocity'])
    expect(record).toMatchObject({ event: { eventId: HELD } })
    expect(record?.countedIn).toBeUndefined()
    expect(faults).toEqual([new Error('the store does not answer')])
    // Missing, never zero: what the counters would have said is not there.
    const features = record?.review?.features ?? {}
    for (const name of velocityNames()) expect([name, features[name]]).toEqual([name, undefined])
    expect(features['lead_h']).toBeTypeOf('number')
  })

  it('what was counted names what it was counted into, and nothing else', async () => {
    const { velocity, line } = failing(always)
    line.isDown = false
    const { engine, journal } = await liveEngine(rulebook, NOW, { velocity: () => velocity, onUncounted: () => { throw new Error('nothing failed') } })
    const [first] = decidedOf(await runAll(engine, [named('mo-husband'), named('mo-cancel-giver')]))
    expect(first?.decision.degraded).toEqual([])
    for (const id of ['mo-husband', 'mo-cancel-giver']) {
      const record = await journal.find(id)
      expect(record?.countedIn).toBe('g1')
    }
  })

  it('the name is asked for before the event is counted: what is lost meanwhile is lost under the old one', async () => {
    const { velocity: inner, line } = failing(always)
    line.isDown = false
    let generation = 'g1'
    const velocity: VelocityStore = { incomplete: false, get generation() { return generation }, run: (exchange) => { generation = 'g2'; return inner.run(exchange) } }
    const { engine, journal } = await liveEngine(rulebook, NOW, { velocity: () => velocity })
    await runAll(engine, [named('mo-husband')])
    expect((await journal.find('mo-husband'))?.countedIn).toBe('g1')
  })

  it('other events are accepted and recorded as still to be counted', async () => {
    const { velocity } = failing(always)
    let faults = 0
    const { engine, journal } = await liveEngine(rulebook, NOW, { velocity: () => velocity, onUncounted: () => { faults++ } })
    expect(await runAll(engine, [named('mo-cancel-giver')])).toEqual([{ kind: 'accepted', eventId: 'mo-cancel-giver', duplicate: false }])
    const record = await journal.find('mo-cancel-giver')
    expect([record?.event.eventId, record?.countedIn, faults]).toEqual(['mo-cancel-giver', undefined, 1])
  })

  it('a repeat gets the same bytes, also once the store is back', async () => {
    const { velocity, line } = failing(always)
    const { engine, journal } = await liveEngine(rulebook, NOW, { velocity: () => velocity })
    const [first] = decidedOf(await runAll(engine, [named(HELD)]))
    line.isDown = false
    const [second] = decidedOf(await runAll(engine, [named(HELD)]))
    expect([second?.bytes, second?.duplicate, journal.lastSeq]).toEqual([first?.bytes, true, 1])
  })

  it('the hospital\'s policy is obeyed: a check, with its reason, or nothing', async () => {
    const outcomeUnder = async (degradedVelocity: 'challenge' | 'allow'): Promise<Decision | undefined> => {
      const book = await bookOf({ degradedVelocity })
      const { engine } = await liveEngine(book, NOW, { velocity: () => failing(always).velocity })
      return decidedOf(await runAll(engine, [named('mo-husband')]))[0]?.decision
    }
    expect(await outcomeUnder('challenge')).toMatchObject({ outcome: 'challenge', degraded: ['velocity'], reasons: [{ code: 'CHECKS_UNAVAILABLE' }] })
    expect(await outcomeUnder('allow')).toMatchObject({ outcome: 'allow', degraded: ['velocity'] })
  })

  it('a place in the slow queue that cannot be given out is the policy\'s wait', async () => {
    const book = await bookOf({ thresholds: { hold: 101, throttle: 0.5, challenge: 0.25 }, throttle: { waitMs: 4_321 } })
    const { velocity } = failing((_trip, writes) => writes[0]?.kind === kindIndex('queue'))
    const { engine, journal } = await liveEngine(book, NOW, { velocity: () => velocity })
    const waits = decidedOf(await runAll(engine, before(HELD))).filter(({ decision }) => decision.outcome === 'throttle')
    expect(waits.length).toBeGreaterThan(0)
    for (const { decision } of waits) {
      expect([decision.throttle, decision.degraded]).toEqual([{ retry_after_ms: 4_321 }, ['velocity']])
      const record = await journal.find(decision.event_id)
      expect([record?.event.eventId, record?.countedIn]).toEqual([decision.event_id, undefined])
    }
  })
})
