import { hash } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { SCOPES_OF, type ApiKey, type Caller, type Scope } from '../domain/access.js'
import type { ApiDeps } from './deps.js'
import type { Doors, Wait } from './doors.js'

/** A key that is known and not revoked, ready to be asked. */
export interface Credential {
  caller: Caller
  scopes: ReadonlySet<Scope>
  /** Whether the key may be used from this address; absent when from anywhere. */
  allows?: (ip: string) => boolean
}

export interface Known { kind: 'known'; credential: Credential }

export type Authentication =
  | Known
  | { kind: 'missing' }
  | { kind: 'invalid' }
  | { kind: 'blocked'; wait: Wait }

export interface Authenticator {
  /** From memory, without a promise: the road of every score call. Undefined when the store has to be asked. */
  recent: (authorization: string | undefined) => Known | undefined
  /** Asks the store, unless this address has failed too often. Rejects when the store is away. */
  ask: (authorization: string | undefined, ip: string) => Promise<Authentication>
}

interface Remembered { known: Known; freshUntil: number }

/** Longer headers are no keys of ours, and are not worth hashing. */
const MAX_SECRET_CHARS = 512

/**
 * Remembers good keys for `cacheMs`, by the SHA-256 of their secret; nothing is remembered of bad ones.
 * The time runs from before the store was asked, so a revocation is seen at most `cacheMs` after it was written.
 */
export function createAuthenticator(deps: { access: ApiDeps['access']; doors: Doors; now: () => number; cacheMs: number }): Authenticator {
  const { access, doors, now, cacheMs } = deps
  const remembered = new Map<string, Remembered>()
  const asked = new Map<string, Promise<Authentication>>()

  async function askStore(secret: string, digest: string, ip: string): Promise<Authentication> {
    // A key that was good a moment ago is not held up by strangers failing behind the same proxy.
    const suspicious = !remembered.has(digest)
    const wait = suspicious ? await doors.suspect(ip) : undefined
    if (wait) return { kind: 'blocked', wait }
    const askedAt = now()
    const key = await access.authenticate(secret)
    if (!key || key.revokedAt !== undefined) {
      remembered.delete(digest)
      return { kind: 'invalid' }
    }
    if (suspicious) await doors.forgive(ip)
    const known: Known = { kind: 'known', credential: credentialOf(key) }
    remembered.set(digest, { known, freshUntil: askedAt + cacheMs })
    return known
  }

  return {
    recent: (authorization) => {
      const secret = secretOf(authorization)
      const found = secret === undefined ? undefined : remembered.get(digestOf(secret))
      return found && now() < found.freshUntil ? found.known : undefined
    },
    ask: async (authorization, ip) => {
      const secret = secretOf(authorization)
      if (secret === undefined) {
        const wait = await doors.suspect(ip)
        return wait ? { kind: 'blocked', wait } : { kind: authorization === undefined ? 'missing' : 'invalid' }
      }
      const digest = digestOf(secret)
      // One question per key at a time, however many calls arrive at the second it runs out.
      const pending = asked.get(digest) ?? askStore(secret, digest, ip).finally(() => asked.delete(digest))
      asked.set(digest, pending)
      return pending
    },
  }
}

const digestOf = (secret: string): string => hash('sha256', secret, 'base64')

function secretOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_SECRET_CHARS || authorization.slice(0, 7).toLowerCase() !== 'bearer ') return undefined
  const secret = authorization.slice(7).trim()
  return secret === '' ? undefined : secret
}

function credentialOf(key: ApiKey): Credential {
  const caller: Caller = { id: key.keyId, role: key.role, ...(key.hospitalId === undefined ? {} : { hospitalId: key.hospitalId }) }
  const scopes: ReadonlySet<Scope> = new Set(SCOPES_OF[key.role])
  return key.cidr === undefined ? { caller, scopes } : { caller, scopes, allows: addressCheck(key.cidr) }
}

/** `10.0.0.0/8`, `2001:db8::/32` or one address. What cannot be read lets nobody in. */
export function addressCheck(cidr: string): (ip: string) => boolean {
  const [net = '', bits] = cidr.split('/')
  const family = isIP(net)
  const prefix = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits)
  if (family === 0 || bits === '' || !Number.isInteger(prefix) || prefix < 0 || prefix > (family === 4 ? 32 : 128)) return () => false
  const list = new BlockList()
  list.addSubnet(net, prefix, family === 4 ? 'ipv4' : 'ipv6')
  return (ip) => {
    const kind = isIP(ip)
    return kind !== 0 && list.check(ip, kind === 4 ? 'ipv4' : 'ipv6')
  }
}

/** Why a known key may not make this call; undefined when it may. */
export function refusalOf(credential: Credential, scopes: readonly Scope[], ip: () => string, hospitalId: string | undefined): string | undefined {
  const { caller, allows } = credential
  if (allows && !allows(ip())) return 'This key may not be used from this address.'
  if (!scopes.some((scope) => credential.scopes.has(scope))) return `This call needs the scope ${scopes.join(' or ')}.`
  // A bound key reaches only calls that name its hospital: a new route cannot show it another's by omission.
  const bound = caller.role === 'hospital' || caller.hospitalId !== undefined
  if (bound && (caller.hospitalId === undefined || hospitalId !== caller.hospitalId)) return 'This key is bound to another hospital.'
  return undefined
}
