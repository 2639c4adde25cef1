import type { PolicyPatch, StoredPolicy } from '../domain/policy.js'

/** Hospital overrides set by people (the shipped ones are files in rules/policies). */
export interface PolicyStore {
  all(): Promise<StoredPolicy[]>
  /** A number that is another one after every `put`, through whatever process. */
  changes(): Promise<number>
  get(hospitalId: string): Promise<StoredPolicy | undefined>
  /**
   * Replaces the override and writes the audit entry in one transaction. `expectedRevision` is the revision the
   * caller read (0: none yet); undefined means whatever is there. Returns undefined when somebody was faster.
   */
  put(hospitalId: string, patch: PolicyPatch, by: string, at: number, expectedRevision?: number): Promise<StoredPolicy | undefined>
}
