import type { ApiKey } from '../domain/access.js'

/** API keys, hashed at rest. */
export interface AccessStore {
  create(key: ApiKey): Promise<void>
  findByHash(secretHash: string): Promise<ApiKey | undefined>
  list(): Promise<ApiKey[]>
  /** False when there is no such key or it was revoked before. */
  revoke(keyId: string, at: number): Promise<boolean>
}

export interface AuditEntry { at: number; by: string; action: string; subject: string; detail: Record<string, unknown> }

/** Who did or looked at what. Append-only. */
export interface AuditLog {
  append(entry: AuditEntry): Promise<void>
}
