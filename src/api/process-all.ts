import type { Engine, Processed, Raw } from '../pipeline/engine.js'

/** How many events are handed over before the earlier ones are waited for: bounds what one call keeps in the air. */
const CHUNK = 250

export type ProcessedAll =
  | { kind: 'done'; results: Exclude<Processed, { kind: 'overloaded' }>[] }
  /** Some of it was done. Repeating the whole is safe: what was taken counts once. */
  | { kind: 'overloaded'; retryAfterMs: number }

/**
 * Processes events in their order. Calls are made in order and without waiting in between (the engine promises arrival
 * order), so a chunk becomes durable together. Rejects when a store is away, once nothing of the chunk is in the air.
 */
export async function processAll(engine: Engine, bodies: readonly Raw['body'][], requestOnly: boolean): Promise<ProcessedAll> {
  const results: Exclude<Processed, { kind: 'overloaded' }>[] = []
  for (let at = 0; at < bodies.length; at += CHUNK) {
    const settled = await Promise.allSettled(bodies.slice(at, at + CHUNK).map((body) => engine.process({ body, requestOnly })))
    for (const one of settled) {
      if (one.status === 'rejected') throw one.reason
      if (one.value.kind === 'overloaded') return { kind: 'overloaded', retryAfterMs: one.value.retryAfterMs }
      results.push(one.value)
    }
  }
  return { kind: 'done', results }
}
