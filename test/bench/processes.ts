import { fork, spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Round, RoundResult } from './load.js'
import type { OpenResult, OpenRound } from './open-load.js'

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

/** Environment of the product, by name; nothing else of ours comes along. */
type Settings = Readonly<Record<string, string>>

/** A process of the product that says it is ready. `readyMs` is how long that took. */
export type Product = Server & { readyMs: number }

/** The built command, everything embedded, on a free port, with its demo keys. */
export async function startProduct(dataDir: string, nodeOptions: readonly string[] = []): Promise<Product & { key(role: string): string }> {
  const product = await startServe(dataDir, {}, [], nodeOptions)
  const keys = JSON.parse(readFileSync(join(dataDir, 'demo-keys.json'), 'utf8')) as Record<string, string>
  return { ...product, key: (role) => keys[role] ?? '' }
}

/** `zhenhao serve` with these settings and arguments, on a free port. Resolves when `/readyz` says so. */
export async function startServe(dataDir: string, settings: Settings, args: readonly string[], nodeOptions: readonly string[] = []): Promise<Product> {
  const began = performance.now()
  const env = { PORT: '0', LOG_LEVEL: 'warn', ...settings, ZHENHAO_DATA_DIR: dataDir }
  const child = spawnMain(['serve', ...args], env, ['ignore', 'ignore', 'inherit'], nodeOptions)
  const failed = once(child, 'exit').then(([code]) => { throw new Error(`zhenhao serve ended with ${String(code)} while the bench needed it`) })
  failed.catch(() => undefined) // a later stop is no fault
  const url = await Promise.race([untilReady(dataDir, child.pid ?? 0), failed])
  return { url, pid: child.pid ?? 0, stop: stopper(child), readyMs: performance.now() - began }
}

/** What another command of the product prints. Throws when it fails. */
export async function outputOf(args: readonly string[], settings: Settings): Promise<string> {
  const child = spawnMain(args, settings, ['ignore', 'pipe', 'inherit'])
  if (!child.stdout) throw new Error('a command has no output')
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  if (code !== 0) throw new Error(`zhenhao ${args.join(' ')} ended with ${String(code)}`)
  return printed
}

/** Only where programs are comes from this process's environment. */
function spawnMain(args: readonly string[], settings: Settings, stdio: StdioOptions, nodeOptions: readonly string[] = []): ChildProcess {
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...settings }
  const child = spawn(process.execPath, ['--max-semi-space-size=64', ...nodeOptions, join(root, 'src', 'main.js'), ...args], { env, stdio })
  const onExit = (): void => { child.kill('SIGKILL') }
  process.once('exit', onExit)
  child.once('exit', () => { process.off('exit', onExit) })
  return child
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

/** CPU time so far in microseconds of a process, those it started, and those of them that have ended. */
export function cpuUsOfTree(pid: number): number {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const fields = statOf(name)
    const ticks = (at: number): number => Number(fields?.[at]) + Number(fields?.[at + 1])
    return fields ? [{ pid: Number(name), parent: Number(fields[1]), own: ticks(11), ended: ticks(13) }] : []
  })
  const ownOf = (id: number): number => all.find((p) => p.pid === id)?.own ?? 0
  const ticksOf = (id: number): number => all.filter((p) => p.parent === id).reduce((sum, child) => sum + ticksOf(child.pid), ownOf(id))
  return 10_000 * (ticksOf(pid) + (all.find((p) => p.pid === pid)?.ended ?? 0))
}

/** The process that this one started whose command line has `words` in it. */
export function childWith(words: string): number {
  const found = readdirSync('/proc').find((name) => /^\d+$/.test(name) && Number(statOf(name)?.[1]) === process.pid && commandOf(name).includes(words))
  if (found === undefined) throw new Error(`the bench has started no process with ${words}`)
  return Number(found)
}

/** Fields of /proc/PID/stat from the state on; undefined when it has just ended. */
function statOf(pid: string): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')
  } catch {
    return undefined
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

/** A round with the server's CPU per request, microseconds. */
export type Measured = RoundResult & { cpuUs: { all: number; main: number } }
export interface Load { round(round: Round): Promise<Measured>; stop(): Promise<void> }

/** A load in a process of its own. `prepare` resolves when it is ready; what it resolves with begins the round. */
export interface Driver<Round extends object, Result> { prepare(round: Round): Promise<() => Promise<Result>>; stop(): Promise<void> }

function startDriver<R extends object, Result>(file: string): Driver<R, Result> {
  const child = fork(join(here, file), { execArgv: ['--max-old-space-size=6144', '--max-semi-space-size=64'] })
  const ended = once(child, 'exit').then(() => { throw new Error('the load ended in the middle of a round; the server has probably broken its connections') })
  ended.catch(() => undefined) // after the last round it is told to end
  const answer = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]) as unknown[])[0]
  return {
    async prepare(round) {
      child.send(round)
      await answer()
      return async () => {
        child.send('go')
        return await answer() as Result
      }
    },
    stop: stopper(child),
  }
}

export const startOpenLoad = (): Driver<OpenRound, OpenResult> => startDriver('open-load.js')

/** Rounds of load against a server whose CPU is watched meanwhile. */
export function startLoad(serverPid: (url: string) => number): Load {
  const driver: Driver<Round, RoundResult> = startDriver('load.js')
  return {
    async round(round) {
      const go = await driver.prepare(round)
      const pid = serverPid(round.url)
      const before = cpuUsOf(pid)
      const result = await go()
      const after = cpuUsOf(pid)
      return { ...result, cpuUs: { all: (after.all - before.all) / result.requests, main: (after.main - before.main) / result.requests } }
    },
    stop: () => driver.stop(),
  }
}
