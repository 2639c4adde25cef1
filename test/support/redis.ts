import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from './process.js'

export interface RedisServers {
  /** One URL, or one of each node of a cluster. */
  urls: string[]
  /** Where they keep what they keep. */
  dir: string
  /** Ends a node the hard way (SIGKILL) or by another signal; SIGSTOP and SIGCONT only freeze and wake it. */
  kill(node?: number, signal?: NodeJS.Signals): Promise<void>
  /** Starts a killed node again on its port, with what is in its directory: nothing, unless it keeps an append-only file. */
  restart(node?: number): Promise<void>
  /** Ends all of them and removes their files. */
  stop(): Promise<void>
}

/** A real Redis on loopback; `kept`: with an append-only file. Undefined (with a loud line) when it cannot be had; throws with CI=true. */
export async function startRedis({ kept = false } = {}): Promise<RedisServers | undefined> {
  return isThere() ? await startNodes(1, kept ? ['--appendonly', 'yes'] : []) : undefined
}

/** A real Redis Cluster of three masters without replicas. */
export async function startRedisCluster(): Promise<RedisServers | undefined> {
  if (!isThere()) return undefined
  const servers = await startNodes(3, ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no'])
  const nodes = servers.urls.map((url) => new Redis(url))
  try {
    await joinCluster(nodes, servers.urls.map((url) => Number(new URL(url).port)))
    return servers
  } catch (error) {
    await servers.stop()
    throw error
  } finally {
    for (const node of nodes) node.disconnect()
  }
}

const SLOTS = 16_384

async function joinCluster(nodes: readonly Redis[], ports: readonly number[]): Promise<void> {
  for (const [i, node] of nodes.entries()) {
    const [from, to] = [i, i + 1].map((n) => Math.floor((n * SLOTS) / nodes.length))
    await node.call('cluster', 'addslotsrange', String(from), String((to ?? 0) - 1))
    if (i > 0) await nodes[0]?.call('cluster', 'meet', '127.0.0.1', String(ports[i]))
  }
  for (const deadline = Date.now() + 20_000; ;) {
    const states = await Promise.all(nodes.map((node) => node.cluster('INFO')))
    if (states.every((state) => state.includes('cluster_state:ok') && state.includes(`cluster_slots_ok:${SLOTS}`))) return
    if (Date.now() > deadline) throw new Error('The Redis Cluster did not come together in 20 s')
    await sleep(50)
  }
}

async function startNodes(count: number, options: readonly string[]): Promise<RedisServers> {
  const dir = mkdtempSync(join(tmpdir(), 'zhenhao-redis-'))
  const ports: number[] = []
  // A cluster's bus listens 10,000 ports higher.
  while (ports.length < count) {
    const port = Number(await freePort())
    if (!ports.includes(port)) ports.push(port)
  }
  const children: ChildProcess[] = []
  const onExit = () => { for (const child of children) child.kill('SIGKILL') }
  process.once('exit', onExit)
  const start = async (node: number) => { children[node] = await startOne(dir, ports[node] ?? 0, options) }
  const kill = async (node: number, signal: NodeJS.Signals) => {
    const child = children[node]
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await once(child, 'exit')
  }
  for (const node of ports.keys()) await start(node)
  return {
    urls: ports.map((port) => `redis://127.0.0.1:${port}`), dir,
    kill: (node = 0, signal = 'SIGKILL') => kill(node, signal),
    restart: async (node = 0) => { await kill(node, 'SIGKILL'); await start(node) },
    stop: async () => {
      for (const node of ports.keys()) await kill(node, 'SIGKILL')
      process.off('exit', onExit)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** An append-only file is read before the first answer, and machines are busy. */
const START_WITHIN_MS = 60_000

async function startOne(dir: string, port: number, options: readonly string[]): Promise<ChildProcess> {
  const log = join(dir, `redis-${port}.log`)
  const child = spawn('redis-server', [
    '--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no', '--cluster-config-file', `nodes-${port}.conf`, '--loglevel', 'warning', '--logfile', log, ...options,
  ], { stdio: 'ignore' })
  const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  try {
    const answer = await Promise.race([client.ping(), once(child, 'exit').then(() => undefined), sleep(START_WITHIN_MS, undefined, { ref: false })])
    if (answer !== 'PONG') throw new Error(`Redis did not start on port ${port}: ${readFileSync(log, 'utf8').slice(-1_000)}`)
    return child
  } finally {
    client.disconnect()
  }
}

function isThere(): boolean {
  const works = () => spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0
  if (works()) return true
  if (process.getuid?.() === 0) {
    const install = () => spawnSync('apt-get', ['install', '-y', '-q', 'redis-server'], { stdio: 'ignore', timeout: 300_000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    if (install().status !== 0) { spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore', timeout: 300_000 }); install() }
    if (works()) return true
  }
  if (process.env['CI'] === 'true') throw new Error('No Redis for the tests: redis-server is missing and apt-get could not install it')
  console.error('\n!!! NO REDIS, tests that need a real server do not run: redis-server is missing and could not be installed\n')
  return false
}
