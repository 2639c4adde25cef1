import { expect, it } from 'vitest'
import type { PolicyStore } from '../../../src/ports/policy-store.js'
import type { AuditEntry } from '../../../src/ports/access-store.js'

export interface PolicyFixture { store: PolicyStore; audited: () => Promise<AuditEntry[]> }

/** What every policy store does. */
export function policyStoreSuite(fixture: () => Promise<PolicyFixture>): void {
  it('keeps an override with who, when and its revision, and replaces it whole', async () => {
    const { store } = await fixture()
    expect(await store.get('h-1')).toBeUndefined()
    const first = { hospitalId: 'h-1', patch: { enforcement: 'observe', hold: { forMs: 60_000 } }, changedBy: 'lea', changedAt: 5, revision: 1 }
    expect(await store.put('h-1', { enforcement: 'observe', hold: { forMs: 60_000 } }, 'lea', 5)).toEqual(first)
    expect(await store.get('h-1')).toEqual(first)
    const second = { hospitalId: 'h-1', patch: { enforcement: 'enforce' }, changedBy: 'max', changedAt: 6, revision: 2 }
    expect(await store.put('h-1', { enforcement: 'enforce' }, 'max', 6)).toEqual(second)
    await store.put('h-0', {}, 'max', 7)
    expect((await store.all()).map((p) => p.hospitalId)).toEqual(['h-0', 'h-1'])
  })

  it('writes only over the revision the caller read', async () => {
    const { store } = await fixture()
    expect(await store.put('h-1', {}, 'lea', 1, 1)).toBeUndefined()
    expect(await store.get('h-1')).toBeUndefined()
    expect((await store.put('h-1', {}, 'lea', 1, 0))?.revision).toBe(1)
    expect(await store.put('h-1', { enforcement: 'enforce' }, 'lea', 2, 0)).toBeUndefined()
    expect((await store.put('h-1', { enforcement: 'enforce' }, 'lea', 2, 1))?.revision).toBe(2)
    expect(await store.put('h-1', {}, 'lea', 3, 1)).toBeUndefined()
    expect((await store.get('h-1'))?.patch).toEqual({ enforcement: 'enforce' })
  })

  it('lets exactly one of many writers with the same revision win', async () => {
    const { store, audited } = await fixture()
    await store.put('h-1', {}, 'lea', 1)
    const won = (await Promise.all(Array.from({ length: 20 }, (_, i) => store.put('h-1', {}, `p${i}`, 2, 1)))).filter((r) => r !== undefined)
    expect(won).toHaveLength(1)
    expect(await audited()).toHaveLength(2)
  })

  it('names another number after every change, and the same while nothing changes', async () => {
    const { store } = await fixture()
    const numbers = [await store.changes()]
    for (const [hospitalId, revision] of [['h-1', undefined], ['h-1', 1], ['h-2', undefined], ['h-1', 2]] as const) {
      await store.put(hospitalId, {}, 'lea', 1, revision)
      numbers.push(await store.changes())
    }
    expect(new Set(numbers).size).toBe(5)
    expect(await store.put('h-1', {}, 'lea', 1, 1)).toBeUndefined()
    expect(await store.changes()).toBe(numbers.at(-1))
  })

  it('audits every change that took place and none that did not', async () => {
    const { store, audited } = await fixture()
    await store.put('h-1', { enforcement: 'enforce' }, 'lea', 5)
    await store.put('h-1', {}, 'max', 6, 9)
    const detail = { patch: { enforcement: 'enforce' }, revision: 1 }
    expect(await audited()).toEqual([{ at: 5, by: 'lea', action: 'policy.put', subject: 'h-1', detail }])
  })
}
