import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { open, readdir, readFile, readlink, realpath, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Account } from './system-account.js'

/** One PostgreSQL server process ("postmaster") over one cluster directory. */
export interface Cluster { dir: string; bin: string; socketDir: string; logFile: string; account: Account | undefined }

/** Crash recovery after a power cut replays at most `max_wal_size`; a minute is plenty. */
const READY_WITHIN_MS = 60_000
const FAST_STOP_MS = 15_000
const ABORT_MS = 5_000
const POLL_MS = 10

/**
 * Durability settings are PostgreSQL's defaults, stated so that no file can weaken them. No TCP port at all: the socket's directory is 0700.
 * Terse errors and no statements in the log, because their details quote values.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on',
  listen_addresses: '', unix_socket_permissions: '0700',
  max_connections: '60', shared_buffers: '64MB', max_wal_size: '256MB', timezone: 'UTC', log_timezone: 'UTC',
  logging_collector: 'off', log_error_verbosity: 'terse', log_min_error_statement: 'panic', log_checkpoints: 'off',
}

const pidFile = (clusterDir: string): string => join(clusterDir, 'postmaster.pid')

/** Line 1 is the pid, line 8 `starting`, `ready` or `stopping` (PostgreSQL's pidfile.h). */
async function readPidFile(clusterDir: string): Promise<{ pid: number; ready: boolean } | undefined> {
  const text = await readFile(pidFile(clusterDir), 'utf8').catch(() => '')
  const lines = text.split('\n')
  const pid = Number.parseInt(lines[0] ?? '', 10)
  return pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : undefined
}

/** Whether process `pid` is a server of this very directory: a postmaster's working directory is its cluster. A zombie has none. */
async function serves(pid: number, clusterDir: string): Promise<boolean> {
  if (process.platform === 'linux') return (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === (await realpath(clusterDir))
  const command = await promisify(execFile)('ps', ['-p', String(pid), '-o', 'command=']).then((r) => r.stdout, () => '')
  return command.includes(`-D ${clusterDir}`)
}

async function goneWithin(pid: number, clusterDir: string, ms: number): Promise<boolean> {
  for (let waited = 0; waited < ms; waited += POLL_MS) {
    if (!(await serves(pid, clusterDir))) return true
    await sleep(POLL_MS)
  }
  return false
}

/** Fast shutdown (SIGINT: roll back, checkpoint, end), then an abort (SIGQUIT: recovery at the next start). Throws when neither helps. */
export async function stopPostmaster(pid: number, clusterDir: string): Promise<void> {
  for (const [signal, ms] of [['SIGINT', FAST_STOP_MS], ['SIGQUIT', ABORT_MS]] as const) {
    if (!(await serves(pid, clusterDir))) return
    process.kill(pid, signal)
    if (await goneWithin(pid, clusterDir, ms)) return
  }
  throw new Error(`the embedded PostgreSQL (process ${pid}) does not stop`)
}

/** Above every pid of Linux (2^22 exclusive) and macOS: no process ever has it. */
const NOBODY_PID = 4_194_304

/** Ends the server that a killed parent left behind; returns whether there was one. */
export async function stopLeftOver(clusterDir: string): Promise<boolean> {
  const found = await readPidFile(clusterDir)
  if (found === undefined || !(await serves(found.pid, clusterDir))) return false
  await stopPostmaster(found.pid, clusterDir)
  return true
}

/**
 * PostgreSQL refuses to start while the pid in an old lock file is alive, even as a zombie or as another program of the same user.
 * Nothing serves this cluster here, so those pids are struck out. The rest of postmaster.pid stays: it names the shared memory
 * by which PostgreSQL knows children of a killed server that are still at work.
 */
async function clearLocks({ dir, socketDir }: Cluster): Promise<void> {
  const text = await readFile(pidFile(dir), 'utf8').catch(() => undefined)
  if (text !== undefined) await writeFile(pidFile(dir), text.replace(/^\d+/, String(NOBODY_PID)))
  for (const name of await readdir(socketDir)) await rm(join(socketDir, name), { force: true })
}

/**
 * Starts the server over a cluster that nothing serves and waits until it takes connections. It is a session of its own (Ctrl-C in
 * a terminal must not end it before we have written the last rows), has none of our output channels and none of our environment.
 */
export async function startPostmaster(cluster: Cluster): Promise<ChildProcess & { pid: number }> {
  const flags = Object.entries({ ...SETTINGS, unix_socket_directories: cluster.socketDir }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  await clearLocks(cluster)
  const logFile = await open(cluster.logFile, 'a', 0o600)
  try {
    const child = spawn(join(cluster.bin, 'postgres'), ['-D', cluster.dir, ...flags], {
      cwd: '/', env: { LC_ALL: 'C' }, detached: true, stdio: ['ignore', logFile.fd, logFile.fd], ...cluster.account,
    })
    child.unref()
    await untilReady(child, cluster)
    return Object.assign(child, { pid: child.pid ?? 0 })
  } finally {
    await logFile.close()
  }
}

async function untilReady(child: ChildProcess, cluster: Cluster): Promise<void> {
  let failure: string | undefined
  child.once('error', (error) => { failure = error.message })
  child.once('exit', (code, signal) => { failure ??= `exit ${String(code ?? signal)}` })
  for (let waited = 0; waited < READY_WITHIN_MS; waited += POLL_MS) {
    if (failure !== undefined) throw new Error(`the embedded PostgreSQL did not start (${failure}): ${await lastLines(cluster.logFile)}`)
    const now = await readPidFile(cluster.dir)
    if (now?.ready === true && now.pid === child.pid) return
    await sleep(POLL_MS)
  }
  child.kill('SIGQUIT')
  throw new Error(`the embedded PostgreSQL was not ready within ${READY_WITHIN_MS / 1_000} s: see ${cluster.logFile}`)
}

const lastLines = async (file: string): Promise<string> =>
  (await readFile(file, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-3).join(' | ')
