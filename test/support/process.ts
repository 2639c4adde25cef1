import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { stopLeftOver } from '../../src/adapters/postgres/postmaster.js'

/** The built command, as a user would start it. */
export const BUILT = resolve(import.meta.dirname, '../../dist/main.js')

/** What the product is started with: the settings by name, and nothing else of this process's environment but where programs are. */
export type Settings = Readonly<Record<string, string>>

export interface Product {
  readonly url: string
  readonly pid: number
  /** From its start to the first 200 of /readyz, milliseconds. */
  readonly readyMs: number
  /** Everything it wrote to stdout and stderr. */
  output(): string
  /** Ends this process (SIGKILL unless told) and waits for it. What it started may live on, as after any kill -9. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Asks it to end (SIGTERM). Resolves with its exit code. */
  stop(): Promise<number | null>
}

const READY_WITHIN_MS = 90_000
const STOP_WITHIN_MS = 25_000

const environment = (settings: Settings): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: 'C.UTF-8', ...settings })

/**
 * Starts `serve` (with more `args`, if any) and waits until it is ready. `settings` must name ZHENHAO_DATA_DIR and PORT.
 * Throws with the last words of its output when it ends or is not ready in 90 s.
 */
export async function startProduct(settings: Settings, main = BUILT, args: readonly string[] = []): Promise<Product> {
  const startedAt = Date.now()
  const child = spawn(process.execPath, [main, 'serve', ...args], { env: environment(settings), stdio: ['ignore', 'pipe', 'pipe'] })
  const chunks: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => chunks.push(bytes))
  const output = (): string => Buffer.concat(chunks).toString('utf8')
  const onExit = (): void => { child.kill('SIGKILL') }
  process.once('exit', onExit)
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (!hasEnded(child)) {
      child.kill(signal)
      const hard = setTimeout(() => { child.kill('SIGKILL') }, STOP_WITHIN_MS)
      await once(child, 'exit')
      clearTimeout(hard)
    }
    process.off('exit', onExit)
    return child.exitCode
  }
  const url = `http://127.0.0.1:${settings['PORT'] ?? ''}`
  while (!(await isReady(url))) {
    if (!hasEnded(child) && Date.now() - startedAt < READY_WITHIN_MS) { await sleep(25); continue }
    await end('SIGKILL')
    throw new Error(`the product is not ready after ${Date.now() - startedAt} ms: ${output().slice(-3_000)}`)
  }
  return { url, pid: child.pid ?? 0, readyMs: Date.now() - startedAt, output, kill: async (signal = 'SIGKILL') => { await end(signal) }, stop: () => end('SIGTERM') }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null
const isReady = (url: string): Promise<boolean> => fetch(`${url}/readyz`).then(({ status }) => status === 200, () => false)

export interface Ended { code: number | null; stdout: string; stderr: string }

/** Runs another command of the product to its end. */
export async function runCommand(args: readonly string[], settings: Settings, main = BUILT): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { env: environment(settings), stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), hasEnded(child) ? undefined : once(child, 'exit')])
  return { code: child.exitCode, stdout, stderr }
}

/** Makes an API key while the server runs (or not). Returns its secret. */
export async function createKey(role: string, settings: Settings, main = BUILT): Promise<string> {
  const { code, stdout, stderr } = await runCommand(['keys', 'create', '--role', role, '--json'], settings, main)
  if (code !== 0) throw new Error(`keys create --role ${role} ended with ${String(code)}: ${stderr}`)
  return (JSON.parse(stdout) as { secret: string }).secret
}

/** The keys that a server without any setting makes for trying out, by role. */
export const demoKeysOf = async (dataDir: string): Promise<Record<string, string>> => JSON.parse(await readFile(join(dataDir, 'demo-keys.json'), 'utf8')) as Record<string, string>

/** A data directory that the embedded PostgreSQL's own user can walk into. */
export async function openDataDir(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'zhenhao-system-'))
  await chmod(path, 0o711)
  return {
    path,
    async remove() {
      // After a kill -9 with no start after it the embedded PostgreSQL lives on.
      await stopLeftOver(join(path, 'postgres', 'cluster'))
      await rm(path, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/** Below the ports that the kernel gives to outgoing connections: one of these would keep a server from coming back to its own. */
const PORTS = { from: 10_000, count: 12_000 }

/** A TCP port of loopback that was free a moment ago. */
export async function freePort(): Promise<string> {
  for (;;) {
    const port = PORTS.from + randomInt(PORTS.count)
    const server = createServer()
    const isFree = await new Promise<boolean>((done) => { server.once('error', () => { done(false) }).listen(port, '127.0.0.1', () => { done(true) }) })
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return String(port)
  }
}
