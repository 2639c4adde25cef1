import { expect, it } from 'vitest'
import type { ApiKey } from '../../../src/domain/access.js'
import type { AccessStore } from '../../../src/ports/access-store.js'

const aKey = (keyId: string, changes: Partial<ApiKey> = {}): ApiKey =>
  ({ keyId, secretHash: `hash-${keyId}`, role: 'reviewer', createdAt: 5, ...changes })

/** What every access store does. */
export function accessStoreSuite(fixture: () => Promise<AccessStore>): void {
  it('finds a key by the hash of its secret, with every field and no other', async () => {
    const store = await fixture()
    const bound = aKey('k1', { role: 'hospital', hospitalId: 'h-007', cidr: '10.0.0.0/8' })
    await store.create(bound)
    await store.create(aKey('k2', { createdAt: 6 }))
    expect(await store.findByHash('hash-k1')).toEqual(bound)
    expect(await store.findByHash('hash-k3')).toBeUndefined()
    expect(await store.list()).toEqual([bound, aKey('k2', { createdAt: 6 })])
  })

  it('revokes a key once', async () => {
    const store = await fixture()
    await store.create(aKey('k1'))
    expect(await store.revoke('k1', 9)).toBe(true)
    expect(await store.revoke('k1', 10)).toBe(false)
    expect(await store.revoke('k2', 9)).toBe(false)
    expect(await store.findByHash('hash-k1')).toEqual(aKey('k1', { revokedAt: 9 }))
  })

  it('refuses a second key with the same id or the same secret', async () => {
    const store = await fixture()
    await store.create(aKey('k1'))
    await expect(store.create(aKey('k1', { secretHash: 'other' }))).rejects.toThrow()
    await expect(store.create(aKey('k2', { secretHash: 'hash-k1' }))).rejects.toThrow()
  })
}
