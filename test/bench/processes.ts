import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Round, RoundResult } from './load.js'

/** A server under test: where it listens, and the CPU it has used. */
export interface Server { url: string; pid: number; stop(signal?: NodeJS.Signals): Promise<void> }

const here = import.meta.dirname
const root = join(here, '..', '..')

/** A data directory that is gone when `close` was called. */
export function scratchDir(): { path: string; close(): void } {
  const path = mkdtempSync(join(tmpdir(), 'zhenhao-bench-'))
  return { path, close: () => { rmSync(path, { recursive: true, force: true }) } }
}

const stopper = (child: ChildProcess) => async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

export async function startFastify(): Promise<Server> {
  const child = fork(join(here, 'bare-fastify.js'))
  const [{ url }] = await once(child, 'message') as [{ url: string }]
  return { url, pid: child.pid ?? 0, stop: stopper(child) }
}

/** The built command, everything embedded, on a free port. Resolves when `/readyz` says so; `readyMs` is how long that took. */
export async function startProduct(dataDir: string, nodeOptions: readonly string[] = []): Promise<Server & { key(role: string): string; readyMs: number }> {
  const began = performance.now()
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], PORT: '0', ZHENHAO_DATA_DIR: dataDir, LOG_LEVEL: 'warn' }
  const child = spawn(process.execPath, [...nodeOptions, join(root, 'src', 'main.js'), 'serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const failed = once(child, 'exit').then(([code]) => { throw new Error(`zhenhao serve ended with ${String(code)} while the bench needed it`) })
  failed.catch(() => undefined) // a later stop is no fault
  const url = await Promise.race([untilReady(dataDir, child.pid ?? 0), failed])
  const readyMs = performance.now() - began
  const keys = JSON.parse(readFileSync(join(dataDir, 'demo-keys.json'), 'utf8')) as Record<string, string>
  return { url, pid: child.pid ?? 0, stop: stopper(child), key: (role) => keys[role] ?? '', readyMs }
}

async function untilReady(dataDir: string, pid: number): Promise<string> {
  for (;;) {
    const url = announced(dataDir, pid)
    const ready = url !== undefined && await fetch(`${url}/readyz`).then((r) => r.status === 200, () => false)
    if (ready) return url
    await sleep(20)
  }
}

/** The address that the process wrote down; one that another process left behind does not count. */
function announced(dataDir: string, pid: number): string | undefined {
  try {
    const holder = JSON.parse(readFileSync(join(dataDir, 'process.json'), 'utf8')) as { pid: number; url?: string }
    return holder.pid === pid ? holder.url : undefined
  } catch {
    return undefined // not there yet, or half written
  }
}

/** CPU time so far in microseconds, of all threads and of the one that runs JavaScript (100 ticks a second on every Linux we know). */
export function cpuUsOf(pid: number): { all: number; main: number } {
  const ticks = (path: string): number => {
    const fields = readFileSync(path, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  }
  return { all: ticks(`/proc/${pid}/stat`), main: ticks(`/proc/${pid}/task/${pid}/stat`) }
}

/** A round with the server's CPU per request, microseconds. */
export type Measured = RoundResult & { cpuUs: { all: number; main: number } }
export interface Load { round(round: Round): Promise<Measured>; stop(): Promise<void> }

/** Rounds of load against a server whose CPU is watched meanwhile. */
export function startLoad(serverPid: (url: string) => number): Load {
  const child = fork(join(here, 'load.js'))
  const ended = once(child, 'exit').then(() => { throw new Error('the load ended in the middle of a round; the server has probably broken its connections') })
  ended.catch(() => undefined) // after the last round it is told to end
  const answer = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]) as unknown[])[0]
  return {
    async round(round) {
      child.send(round)
      await answer()
      const pid = serverPid(round.url)
      const before = cpuUsOf(pid)
      child.send('go')
      const result = await answer() as RoundResult
      const after = cpuUsOf(pid)
      return { ...result, cpuUs: { all: (after.all - before.all) / result.requests, main: (after.main - before.main) / result.requests } }
    },
    stop: stopper(child),
  }
}
