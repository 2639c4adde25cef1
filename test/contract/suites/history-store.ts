import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Decision, Review } from '../../../src/domain/decision.js'
import type { BookingEvent } from '../../../src/domain/event.js'
import { readRecord, writeRecord, type Recorded } from '../../../src/domain/record.js'
import type { HistoryStore } from '../../../src/ports/history-store.js'

export interface HistoryFixture {
  /** A store on a database of its own, or on one that another store has open. */
  open(database: string): HistoryStore
  dispose(): Promise<void>
}

const AT = Date.UTC(2026, 10, 20, 7, 0, 0, 412)
const token = (seed: string): string => Buffer.from(seed.padEnd(16, '.')).toString('hex').slice(0, 32)
export const freshDatabase = (): string => `t${randomBytes(6).toString('hex')}`

/** A decided request, everything set. */
export function aRequest(seq: number, changes: { event?: Partial<BookingEvent>; decision?: Partial<Decision> } = {}): Recorded {
  const occurredAt = AT + seq
  const event: BookingEvent = {
    eventId: `e-${seq}`, type: 'booking.requested', occurredAt, orderId: `o-${seq}`, channel: { id: 'wechat', kind: 'mini_program' },
    account: { token: token(`a${seq}`), registeredAt: AT - 1 },
    patient: {
      token: token(`p${seq}`), idType: '01', age: 36,
      phone: { token: token(`f${seq}`), prefixToken: token('f'), virtualOperator: false, valid: true },
    },
    slot: { hospitalId: 'h-007', scheduleId: 's-1', slotId: `sl-${seq}`, doctorId: 'd-1', departmentId: 'cardiology', feeFen: 5000 },
    device: { token: token(`dv${seq}`), emulator: false }, network: { ipToken: token('ip'), prefixToken: token('pre') },
    payer: { token: token('pay') }, operator: { seatToken: token('seat') }, ...changes.event,
  }
  const decision: Decision = {
    decision_id: `d-${seq}`, event_id: event.eventId, order_id: event.orderId ?? '', decided_at: new Date(occurredAt + 5).toISOString(),
    outcome: 'allow', basis: 'risk', score: 0.25, degraded: [],
    reasons: [{ code: 'SLOT_HANDOFF', message: { zh: '号源转手', en: 'the slot changed hands' } }],
    versions: { rules: 'r-1', model: null, policy: 'p-1' }, ...changes.decision,
  }
  const review: Review = {
    would_be: { outcome: 'hold', basis: 'risk', reasons: decision.reasons }, enforcement: 'observe', rule_score: 42.5,
    rule_hits: [{ rule: 'handoff', family: 'custody', code: 'SLOT_HANDOFF', mode: 'live', weight: 40, comparisons: [] }],
    shadow_hits: [], rule_errors: [], saturated: ['ip_orders_1h'],
    features: { handoff_gap_s: 3.5, emulator: false, proxy: true, id_province: '11', slot_hands: 0 },
  }
  return { seq, acceptedAt: occurredAt + 7, bodyHash: token(`b${seq}`), event, countedIn: 'g-1', suspected: true, decision: JSON.stringify(decision), review }
}

/** The least an event may say. */
export const aConfirmation = (seq: number): Recorded => ({
  seq, acceptedAt: AT + seq, bodyHash: token(`c${seq}`),
  event: { eventId: `c-${seq}`, type: 'booking.confirmed', occurredAt: AT + seq, orderId: `o-${seq}` },
})

export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

export async function readAll(store: HistoryStore, fromSeq = 1): Promise<Recorded[]> {
  const all: Recorded[] = []
  for await (const chunk of store.read(fromSeq)) all.push(...chunk)
  return all
}

/** What every HistoryStore promises. */
export function describeHistoryStore(name: string, start: () => Promise<HistoryFixture>): void {
  describe(`a history store (${name})`, () => {
    let fixture: HistoryFixture | undefined
    const opened: HistoryStore[] = []
    beforeAll(async () => { fixture = await start() })
    afterAll(async () => {
      await Promise.all(opened.map((store) => store.close()))
      await fixture?.dispose()
    })
    const open = async (database = freshDatabase()): Promise<HistoryStore> => {
      if (fixture === undefined) throw new Error('no fixture')
      const store = fixture.open(database)
      opened.push(store)
      await store.migrate()
      return store
    }

    it('finds exactly what was recorded: the decision\'s bytes, the review, every millisecond', async () => {
      const store = await open()
      const recorded = aRequest(1)
      await store.insert('t', [recorded])
      expect(await store.find('e-1')).toEqual(recorded)
    })

    it('finds the same of a record that comes as the journal wrote it', async () => {
      const store = await open()
      const { review, ...withoutReview } = aRequest(2)
      expect(review).toBeDefined()
      const records = [aRequest(1), withoutReview, aConfirmation(3), aRequest(4, { event: { eventId: `'\\N"\\\\` } })]
      await store.insert('t', records.map((record) => readRecord(writeRecord(record))))
      expect(await readAll(store)).toEqual(records)
    })

    it('does not find what was never recorded', async () => {
      const store = await open()
      expect(await store.find('e-1')).toBeUndefined()
      await store.insert('t', [aRequest(1)])
      expect(await store.find('e-2')).toBeUndefined()
    })

    it('keeps a missing field missing', async () => {
      const store = await open()
      const { decision, review, ...undecided } = aRequest(3)
      expect([decision, review]).not.toContain(undefined)
      await store.insert('t', [aConfirmation(1), aRequest(2, { event: { slot: { hospitalId: 'h', scheduleId: 's' } } }), undecided])
      expect(await store.find('c-1')).toStrictEqual(aConfirmation(1))
      expect((await store.find('e-2'))?.event.slot).toStrictEqual({ hospitalId: 'h', scheduleId: 's' })
      expect(await store.find('e-3')).toStrictEqual(undecided)
    })

    it('keeps a decision without a score, and one without a review', async () => {
      const store = await open()
      const { review, ...withoutReview } = aRequest(2)
      expect(review).toBeDefined()
      await store.insert('t', [aRequest(1, { decision: { score: null } }), withoutReview])
      expect(JSON.parse((await store.find('e-1'))?.decision ?? '')).toMatchObject({ score: null })
      expect(await store.find('e-2')).toStrictEqual(withoutReview)
    })

    it('takes any text in an id', async () => {
      const store = await open()
      const ids = ['王 号', `it's "quoted"`, 'tab\tand\nline', 'back\\slash \\N', '{id:String}', ';--', '😀', '%00 ?']
      const records = ids.map((eventId, i) => aRequest(i + 1, { event: { eventId, orderId: eventId } }))
      await store.insert('t', records)
      for (const record of records) expect(await store.find(record.event.eventId)).toEqual(record)
    })

    it('reads in the order of acceptance from a position on, however the batches came', async () => {
      const store = await open()
      await store.insert('b', range(4, 6).map((seq) => aRequest(seq)))
      await store.insert('a', [aRequest(1), aConfirmation(2), aRequest(3)])
      expect((await readAll(store)).map((r) => r.seq)).toEqual([1, 2, 3, 4, 5, 6])
      expect(await readAll(store, 5)).toEqual([aRequest(5), aRequest(6)])
      expect(await readAll(store, 7)).toEqual([])
    })

    it('shows a batch once when it is inserted again under its token', async () => {
      const store = await open()
      const batch = [aRequest(1), aConfirmation(2)]
      for (let i = 0; i < 3; i++) await store.insert('t', batch)
      expect(await readAll(store)).toEqual(batch)
    })

    it('shows a record once when it comes again in another batch', async () => {
      const store = await open()
      await store.insert('1-2', [aRequest(1), aRequest(2)])
      await store.insert('2-3', [aRequest(2), aRequest(3)])
      expect(await readAll(store)).toEqual([aRequest(1), aRequest(2), aRequest(3)])
    })

    it('loses nothing when another batch comes under a token that was used', async () => {
      const store = await open()
      await store.insert('t', [aRequest(1)])
      await store.insert('t', [aRequest(2)])
      expect(await readAll(store)).toEqual([aRequest(1), aRequest(2)])
    })

    it('loses nothing when two journals count alike', async () => {
      const store = await open()
      const other = aRequest(1, { event: { eventId: 'e-other' } })
      await store.insert('a', [aRequest(1)])
      await store.insert('b', [other])
      expect(await readAll(store)).toEqual([aRequest(1), other])
      expect(await store.find('e-1')).toEqual(aRequest(1))
    })

    it('finds the newest of many versions of an event', async () => {
      const store = await open()
      for (const seq of [3, 9, 5]) await store.insert(`t${seq}`, [aRequest(seq, { event: { eventId: 'e', orderId: `o-${seq}` } })])
      expect((await store.find('e'))?.event.orderId).toBe('o-9')
    })

    it('takes times that its columns cannot hold', async () => {
      const store = await open()
      const [past, future] = [aConfirmation(1), aConfirmation(2)]
      past.event.occurredAt = Date.UTC(1700, 0, 1)
      future.event.occurredAt = Date.UTC(9999, 0, 1)
      const decided = ['1700-01-01T00:00:00.412+08:00', '9999-01-01T00:00:00.412+08:00'].map((decided_at, i) => aRequest(i + 3, { decision: { decided_at } }))
      await store.insert('t', [past, future, ...decided])
      expect(await readAll(store)).toEqual([past, future, ...decided])
    })

    it('stores ten thousand at once and reads them back in chunks', async () => {
      const store = await open()
      const batch = range(1, 10_000).map((seq) => seq % 3 === 0 ? aConfirmation(seq) : aRequest(seq))
      await store.insert('t', batch)
      const all = await readAll(store)
      expect(all.map((r) => r.seq)).toEqual(range(1, 10_000))
      expect(all[9_999]).toEqual(batch[9_999])
      expect(all[5_001]).toEqual(batch[5_001])
      expect(await store.find('e-7777')).toEqual(batch[7_776])
    })

    it('takes concurrent batches, each under its own token', async () => {
      const store = await open()
      await Promise.all(range(1, 12).map((seq) => store.insert(`t${seq}`, [aRequest(seq)])))
      expect((await readAll(store)).map((r) => r.seq)).toEqual(range(1, 12))
    })

    it('has nothing to do for an empty batch', async () => {
      const store = await open()
      await store.insert('t', [])
      await store.insertResolutions('t', [])
      expect(await readAll(store)).toEqual([])
    })

    it('migrates again and at the same time without harm', async () => {
      const database = freshDatabase()
      const [one, two] = await Promise.all([open(database), open(database)])
      await one.insert('t', [aRequest(1)])
      await two.migrate()
      expect(await two.find('e-1')).toEqual(aRequest(1))
    })

    it('answers a ping', async () => {
      await expect((await open()).ping()).resolves.toBeUndefined()
    })
  })
}
