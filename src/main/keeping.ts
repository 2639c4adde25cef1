import type { Gauges } from '../adapters/prometheus/metrics.js'
import type { PostgresEnforcementStore } from '../adapters/postgres/enforcement-store.js'
import type { Logger } from '../adapters/pino/log.js'
import type { DataDir } from '../adapters/file/data-dir.js'
import type { DoorStore } from '../api/doors.js'
import type { Config } from '../config.js'
import type { Recorded } from '../domain/record.js'
import type { Recorder } from '../ports/recorder.js'
import type { VelocityStore } from '../ports/velocity-store.js'
import type { Rulebook } from '../scoring/score.js'
import type { Meters } from './metering.js'
import type { Stores } from './stores.js'

/**
 * How a process keeps what it counts and decides: alone (alone.ts: counters in memory, the journal in files of its own) or
 * with others (shared.ts: counters in Redis, the journal in PostgreSQL).
 */
export interface Keeping {
  recorder: Recorder
  velocity(): VelocityStore
  /** True while nothing may be accepted for a moment. */
  paused(): boolean
  /** The counters failed this process just now. */
  doubt(fault: unknown): void
  findRecorded(eventId: string): Promise<Recorded | undefined>
  /** Counts everything again and places live holds again where they may be lost; decisions stand. Resolves with the number of events. */
  rebuild(): Promise<number>
  gauges(): Omit<Gauges, 'streamLag'>
  /** Parts that can be asked how they are: each rejects with what is wrong. */
  checks: Readonly<Record<string, () => Promise<void>>>
  /** Where all processes count calls together. */
  doorStore?: DoorStore
  /** Delivers what can be delivered, then stops. The stores stay open. */
  stop(): Promise<void>
}

export interface KeepingDeps {
  stores: Stores
  enforcement: PostgresEnforcementStore
  rulebook: () => Rulebook
  config: Config
  data: DataDir
  meters: Meters
  log: Logger
}

/** Says what is wrong with a part, in words for whoever asks `/readyz`. */
export class PartTrouble extends Error {}
