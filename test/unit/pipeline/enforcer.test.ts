import { describe, expect, it } from 'vitest'
import { createEnforcer, type Enforcer } from '../../../src/pipeline/enforcer.js'
import type { EnforcementStore } from '../../../src/ports/enforcement-store.js'
import type { Effects } from '../../../src/ports/recorder.js'

const hold = (id: string): Effects => ({
  holds: [{ holdId: id, eventId: `e-${id}`, orderId: `o-${id}`, hospitalId: 'h', scheduleId: 's', placedAt: 0, expiresAt: 1, onExpiry: 'confirm' }], cancellations: [],
})
const cancel = (id: string): Effects => ({ holds: [], cancellations: [{ orderId: `o-${id}`, reason: 'booking.cancelled', at: 1 }] })
const turns = async (n = 10): Promise<void> => { for (let i = 0; i < n; i++) await new Promise(setImmediate) }

/** A gate that a test opens. */
function gate(): { opened: Promise<void>; open: () => void; fail: (fault: Error) => void } {
  let open = (): void => undefined
  let fail: (fault: Error) => void = open
  const opened = new Promise<void>((resolve, reject) => { open = resolve; fail = reject })
  opened.catch(() => undefined)
  return { opened, open, fail }
}

type Batch = Parameters<EnforcementStore['apply']>[0]
interface Bench { enforcer: Enforcer; batches: Batch[]; journal: { durableSeq: number }; retries: number[] }

function bench(apply: () => Promise<void> = () => Promise.resolve()): Bench {
  const batches: Batch[] = []
  const journal = { durableSeq: 0 }
  const retries: number[] = []
  const enforcer = createEnforcer({
    store: { apply: async (batch) => { await apply(); batches.push(batch) } }, durableSeq: () => journal.durableSeq,
    backOff: () => new Promise(setImmediate), onRetry: (_, attempt) => { retries.push(attempt) },
  })
  return { enforcer, batches, journal, retries }
}
const idsOf = (batches: readonly Batch[]): string[] => batches.map(({ holds, cancellations }) =>
  [...holds.map((h) => h.holdId), ...cancellations.map((c) => ('orderId' in c ? `-${c.orderId.slice(2)}` : ''))].join(' '))

describe('the enforcer', () => {
  it('writes nothing before it is durable, and settles once it is in the store', async () => {
    const { enforcer, batches, journal } = bench()
    const durable = gate()
    let settled = false
    const submitted = enforcer.submit(1, durable.opened, hold('a')).then(() => { settled = true })
    await turns()
    expect([batches.length, settled, enforcer.appliedSeq()]).toEqual([0, false, 0])
    journal.durableSeq = 1
    durable.open()
    await submitted
    expect([idsOf(batches), enforcer.appliedSeq()]).toEqual([['a'], 1])
  })

  it('keeps the order of the journal between holds and cancellations, in as few transactions as that allows', async () => {
    const { enforcer, batches, journal } = bench()
    const first = gate()
    const effects = [hold('a'), hold('b'), cancel('a'), cancel('b'), hold('c'), hold('d'), cancel('c'), hold('e')]
    const submitted = effects.map((e, i) => enforcer.submit(i + 1, first.opened, e))
    journal.durableSeq = 8
    first.open()
    await Promise.all(submitted)
    expect(idsOf(batches)).toEqual(['a b -a -b', 'c d -c', 'e'])
  })

  it('tries again until the store takes it, and lets nothing past meanwhile', async () => {
    let left = 3
    const { enforcer, batches, journal, retries } = bench(() => (left-- > 0 ? Promise.reject(new Error('away')) : Promise.resolve()))
    journal.durableSeq = 4
    const submitted = enforcer.submit(5, Promise.resolve(), hold('a'))
    journal.durableSeq = 9
    expect(enforcer.appliedSeq()).toBe(4)
    await submitted
    expect([idsOf(batches), retries, enforcer.appliedSeq()]).toEqual([['a'], [1, 2, 3], 9])
    await enforcer.idle()
  })

  it('enforces what became durable although a later record of the same batch never did', async () => {
    const { enforcer, batches, journal } = bench()
    const [sound, broken] = [gate(), gate()]
    const first = enforcer.submit(1, sound.opened, hold('a'))
    const second = enforcer.submit(2, broken.opened, hold('b'))
    journal.durableSeq = 1
    sound.open()
    broken.fail(new Error('disk full'))
    await expect(second).rejects.toThrow('disk full')
    await first
    expect([idsOf(batches), enforcer.appliedSeq()]).toEqual([['a'], 1])
  })

  it('does not keep what is durable waiting for what is not', async () => {
    const { enforcer, batches, journal } = bench()
    const [sound, slow] = [gate(), gate()]
    const first = enforcer.submit(1, sound.opened, hold('a'))
    const second = enforcer.submit(2, slow.opened, hold('b'))
    journal.durableSeq = 1
    sound.open()
    await first
    expect([idsOf(batches), enforcer.appliedSeq()]).toEqual([['a'], 1])
    journal.durableSeq = 2
    slow.open()
    await second
    expect(idsOf(batches)).toEqual(['a', 'b'])
  })

  it('tells a repeat when the effects of its position are in the store', async () => {
    const store = gate()
    const { enforcer, journal } = bench(() => store.opened)
    const submitted = enforcer.submit(1, Promise.resolve(), hold('a'))
    let told = false
    const repeat = enforcer.applied(1).then(() => { told = true })
    await enforcer.applied(2)
    await turns()
    expect(told).toBe(false)
    journal.durableSeq = 1
    store.open()
    await Promise.all([submitted, repeat])
    await enforcer.applied(1)
  })

  it('never falls back when old positions are submitted again beside new ones', async () => {
    const store = gate()
    const { enforcer, batches, journal } = bench(() => store.opened)
    journal.durableSeq = 100
    const again = [1, 2].map((seq) => enforcer.submit(seq, Promise.resolve(), hold(`old-${seq}`)))
    const fresh = enforcer.submit(101, Promise.resolve(), hold('new'))
    journal.durableSeq = 101
    expect(enforcer.appliedSeq()).toBe(100)
    store.open()
    await Promise.all([...again, fresh])
    expect(enforcer.appliedSeq()).toBe(101)
    expect(idsOf(batches).join(' ')).toBe('old-1 old-2 new')
  })
})
