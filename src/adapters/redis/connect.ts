import { Cluster, Redis, type RedisOptions } from 'ioredis'

export type RedisClient = Redis | Cluster

/** A start does not wait longer for Redis: decisions are marked degraded until it answers. */
const FIRST_WAIT_MS = 5_000
/** For one command, beside those that velocity sends under a deadline of its own: a server that is there and stands still must not stop anybody. */
export const ANSWER_MS = 1_000
const OPTIONS: RedisOptions = { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, connectTimeout: 2_000, noDelay: true }

const backOffMs = (times: number): number => Math.min(50 * times, 1_000)

/**
 * A client for one server, or for a Cluster when several nodes are named. While it is not connected it fails at once rather
 * than queue, and it sends nothing twice by itself: its users decide what is tried again. Resolves when it is connected, or
 * after five seconds without (it goes on trying). `onFault` hears of connection errors. With `answerMs` every command rejects
 * after it; that costs a timer each. Commands of one turn of the event loop travel together.
 */
export async function connectRedis(urls: readonly string[], onFault: (fault: Error) => void, answerMs?: number): Promise<RedisClient> {
  const [first] = urls
  if (first === undefined) throw new Error('no Redis URL')
  const options: RedisOptions = { ...OPTIONS, ...(answerMs === undefined ? {} : { commandTimeout: answerMs }) }
  // A silent connection is given up. Not in a Cluster: there ioredis would send its commands again, elsewhere, with time anew.
  const client = urls.length > 1 ? connectCluster(urls, options)
    : new Redis(first, { ...options, ...(answerMs === undefined ? {} : { socketTimeout: answerMs }), enableOfflineQueue: false, enableAutoPipelining: true, retryStrategy: backOffMs })
  client.on('error', onFault)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, FIRST_WAIT_MS)
    client.once('ready', () => { clearTimeout(timer); resolve() })
  })
  return client
}

/** User, password and TLS are those of the first node named. */
function connectCluster(urls: readonly string[], options: RedisOptions): Cluster {
  const nodes = urls.map((url) => new URL(url))
  const { username = '', password = '', protocol = '' } = nodes[0] ?? {}
  const redisOptions: RedisOptions = {
    ...options, ...(username && { username: decodeURIComponent(username) }), ...(password && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  }
  const seeds = nodes.map(({ hostname, port }) => ({ host: hostname, port: port === '' ? 6379 : Number(port) }))
  return new Cluster(seeds, { enableOfflineQueue: false, enableAutoPipelining: true, redisOptions, clusterRetryStrategy: backOffMs, slotsRefreshInterval: 10_000 })
}
