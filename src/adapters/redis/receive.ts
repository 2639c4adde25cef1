import { randomInt } from 'node:crypto'
import type { LogLayout, LogWrite } from '../../domain/packed-log.js'
import type { Keys } from './keys.js'
import type { LiveLog } from './live-log.js'
import { encodeBase, foldValue } from './log-value.js'
import type { Live } from './talk.js'
import type { Compaction, Trip } from './trip.js'

/** Operations are folded once they are more words than this and a 16th of the log: whoever reads them pays for each of them. */
const COMPACT_WORDS = 128
const NOTHING = Buffer.alloc(0)

/** What a trip leaves to be done: values to be written folded, and entities to be fetched for that. */
export interface Leftovers { compactions: Compaction[]; swollen: LogWrite[] }

/**
 * Folds every value that a trip brings, into the log of its entity: all in one piece of memory, each with room for what it is
 * about to grow by. Throws an Error for a value that this code did not write.
 */
export function receive(trip: Trip, layout: LogLayout, keys: Keys): Leftovers {
  const compactions: Compaction[] = []
  let size = 0
  for (const [live, reply] of trip.answers()) size += Math.ceil(bytesOf(reply).length / 4) + live.room
  const words = new Uint32Array(size), bytes = new Uint8Array(words.buffer)
  let from = 0
  for (const [live, reply] of trip.answers()) {
    // Another process has locked it.
    if (reply === 0) { live.retryAtMs = Date.now() + randomInt(1, 4); continue }
    live.retryAtMs = 0
    const value = bytesOf(reply)
    if (value.length % 4 !== 0) throw new Error(`velocity value of kind ${live.kind}: ${value.length} bytes are no whole words`)
    bytes.set(value, from * 4)
    const to = from + value.length / 4, { log, tailWords } = foldValue(words, from, to, to + live.room, live.kind, layout)
    live.log = log
    if (tailWords > COMPACT_WORDS + log.used / 16) compactions.push(compactionOf(live, log, value, keys))
    from = to + live.room
  }
  return { compactions, swollen: [...trip.swollen()].filter(({ kind }) => !layout.leads(kind)) }
}

const bytesOf = (reply: unknown): Buffer => (Buffer.isBuffer(reply) ? reply : NOTHING)

/** Made at once: the log is about to change. */
function compactionOf({ kind, hi, lo }: Live, log: LiveLog, value: Buffer, keys: Keys): Compaction {
  return { key: keys.of(kind, hi, lo), head: Buffer.from(value.subarray(0, 12)), length: value.length, base: encodeBase(log) }
}
