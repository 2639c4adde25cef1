import { Cluster } from 'ioredis'
import type { RedisClient } from './connect.js'

const KEYS_AT_ONCE = 1_000

/**
 * Deletes every log under a prefix, before counters are filled from the first record again: records that are put twice
 * count once, but what full logs let go would be summed twice. Other keys under the prefix stay. Takes about a second per million.
 */
export async function clearLogs(client: RedisClient, prefix: string): Promise<void> {
  const pattern = `${prefix.replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}{*`
  for (const node of client instanceof Cluster ? client.nodes('master') : [client]) {
    let cursor = '0'
    do {
      const [next, keys] = await node.scanBuffer(cursor, 'MATCH', pattern, 'COUNT', KEYS_AT_ONCE)
      cursor = next.toString()
      const deleting = node.pipeline()
      for (const key of keys) deleting.unlink(key)
      const fault = (await deleting.exec())?.find(([error]) => error !== null)?.[0]
      if (fault) throw fault
    } while (cursor !== '0')
  }
}
