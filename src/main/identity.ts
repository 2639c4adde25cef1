import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { SCOPES_OF, type ApiKey, type Role } from '../domain/access.js'
import type { AccessStore } from '../ports/access-store.js'

/** API keys are 256 random bits, so a plain SHA-256 at rest cannot be searched. */
export const hashSecret = (secret: string): string => createHash('sha256').update(secret).digest('hex')

export interface NewKey { key: ApiKey; secret: string }

/** A new key with its secret, which is shown once and never stored. */
export function newKey(role: Role, options: { hospitalId?: string; cidr?: string }, now: number): NewKey {
  const secret = `zh_${randomBytes(32).toString('base64url')}`
  return {
    secret,
    key: {
      keyId: `k-${randomBytes(6).toString('hex')}`, secretHash: hashSecret(secret), role, createdAt: now,
      ...(options.hospitalId === undefined ? {} : { hospitalId: options.hospitalId }), ...(options.cidr === undefined ? {} : { cidr: options.cidr }),
    },
  }
}

const DEMO_HOSPITAL = 'h-007'

/**
 * A key per role for trying out, in `path` (mode 0600). `fresh` is true when they were made just now and should be shown.
 * Keys of the file that the store does not know (it was wiped) are put back.
 */
export async function demoKeys(path: string, access: AccessStore, now: number): Promise<{ keys: Record<string, string>; fresh: boolean }> {
  const kept = await readFile(path, 'utf8').then((text) => JSON.parse(text) as Record<string, string>, () => undefined)
  const keys = kept ?? Object.fromEntries((Object.keys(SCOPES_OF) as Role[]).map((role) => [role === 'hospital' ? `hospital:${DEMO_HOSPITAL}` : role, newKey(role, {}, now).secret]))
  for (const [name, secret] of Object.entries(keys)) {
    const [role, hospitalId] = name.split(':') as [Role, string | undefined]
    const secretHash = hashSecret(secret)
    if (await access.findByHash(secretHash)) continue
    await access.create({ keyId: `demo-${role}-${secretHash.slice(0, 6)}`, secretHash, role, createdAt: now, ...(hospitalId === undefined ? {} : { hospitalId }) })
  }
  if (!kept) await writeFile(path, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 })
  return { keys, fresh: !kept }
}
