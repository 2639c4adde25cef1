import calculateSlot from 'cluster-key-slot'
import { Cluster, type Redis } from 'ioredis'
import type { CounterMarks } from '../../ports/counter-standing.js'
import type { RedisClient } from './connect.js'

/** A Cluster's node has a run of slots; one mark in every 256th of its 16,384 slots finds each node that has 1/64 of them. */
const CLUSTER_MARKS = 64
const SLOTS = 16_384

/** A mark that is gone, or is another one, stays as it is: it tells what was lost. */
const MOVE = `local mark = redis.call('GET', KEYS[1])
if mark ~= ARGV[1] and mark ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`

/** Marks in Redis. A node that was emptied has lost its own, one that was started anew has another run id. */
export function createMarks(client: RedisClient, prefix: string): CounterMarks {
  const keys = client instanceof Cluster ? spreadKeys(prefix) : [`${prefix}mark`]
  return {
    async read() {
      const [marks, runs] = await Promise.all([Promise.all(keys.map((key) => client.get(key))), runsOf(client)])
      return { marks: marks.map((mark) => mark ?? undefined), runs }
    },
    async write(mark) {
      await Promise.all(keys.map((key) => client.set(key, mark)))
    },
    async move(from, to) {
      const moved = await Promise.all(keys.map(async (key, i) => {
        const was = from[i]
        return was !== undefined && await client.eval(MOVE, 1, key, was, to) === 1
      }))
      return moved.every(Boolean)
    },
  }
}

/** One key for each part of the slots, found by trying tags. */
function spreadKeys(prefix: string): string[] {
  const keys: string[] = []
  for (let n = 0, found = 0; found < CLUSTER_MARKS; n++) {
    const key = `${prefix}mark:{${n}}`
    const part = Math.floor(calculateSlot(key) / (SLOTS / CLUSTER_MARKS))
    if (keys[part] !== undefined) continue
    keys[part] = key
    found++
  }
  return keys
}

/** Bytes that the fullest node uses, and may use at most (0: no limit). */
export async function memoryOf(client: RedisClient): Promise<{ used: number; max: number }> {
  const nodes = await Promise.all(nodesOf(client).map(async (node) => {
    const info = await node.info('memory')
    const number = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
    return { used: number('used_memory'), max: number('maxmemory') }
  }))
  const fill = ({ used, max }: { used: number; max: number }): number => used / (max || Infinity)
  return nodes.sort((a, b) => fill(b) - fill(a) || b.used - a.used)[0] ?? { used: 0, max: 0 }
}

const nodesOf = (client: RedisClient): Redis[] => client instanceof Cluster ? client.nodes('master') : [client]

async function runsOf(client: RedisClient): Promise<string> {
  const runs = await Promise.all(nodesOf(client).map(async (node) => /^run_id:(\w+)/m.exec(await node.info('server'))?.[1] ?? ''))
  return runs.sort().join(' ')
}
