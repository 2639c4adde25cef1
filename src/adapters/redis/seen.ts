import type { Seen } from '../../ports/recorder.js'
import type { RedisClient } from './connect.js'

/** Nearly all repeats come within minutes; a later one is found by the journal's unique key, only more slowly. */
const REMEMBER_S = 6 * 3_600

/** About 100 bytes of Redis per event id, for six hours. */
export function createSeen(client: RedisClient, prefix: string): Seen {
  return {
    async claim(eventId) {
      return await client.set(`${prefix}seen:${eventId}`, '', 'EX', REMEMBER_S, 'NX') === 'OK' ? 'new' : 'seen'
    },
  }
}
