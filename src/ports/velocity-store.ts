import type { Exchange } from '../domain/packed-log.js'

/** Where the packed logs live. */
export interface VelocityStore {
  /**
   * Runs a conversation to its end. In memory it runs at once, alone, before this returns: conversations take effect in
   * call order. Rejects when the store cannot be reached.
   */
  run<T>(exchange: Exchange<T>): T | Promise<T>
  /** True when state was dropped before its time (memory cap): counters may be too low, and decisions must say so. */
  readonly incomplete: boolean
  /** Where others may lose what is counted: what it is counted into now. Asked before, recorded after (`Recorded.countedIn`). */
  readonly generation?: string | undefined
}
