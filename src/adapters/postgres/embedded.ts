import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { access, chmod, chown, lstat, mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findPackage, nativeBin } from './native.js'
import type { Log } from './pool.js'
import { startPostmaster, stopLeftOver, stopPostmaster, type Cluster } from './postmaster.js'
import { reachable, systemAccount, type Account } from './system-account.js'

export interface EmbeddedPostgres { connectionString: string; stop(): Promise<void> }

/** For clusters and binaries that the server's own user could not reach where they belong. */
const ELSEWHERE = '/var/lib/zhenhao'
const POINTER = 'moved-to.txt'
const LOG_KEEP_BYTES = 5_000_000
/** sun_path holds 104 bytes on macOS, 108 on Linux, with the closing zero. */
const SOCKET_PATH_BYTES = 103
const RESTART_MIN_MS = 100
const RESTART_MAX_MS = 5_000
/** Children of a killed server may hold its shared memory for a moment, and PostgreSQL rightly refuses to start until they end. */
const FIRST_TRIES = 30

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false)

/**
 * Starts the real PostgreSQL server over the cluster kept in `dir` (made at first start), as a child process that only a unix
 * socket reaches. A server that a killed process left behind is stopped first; one that dies is started again at the same address.
 * The caller holds the lock on its data directory: two processes must not start the same `dir`.
 * Throws when the server cannot be started, with the last lines of its log (`dir/postgres.log`).
 */
export async function startEmbeddedPostgres(dir: string, log: Log, packageDir = findPackage()): Promise<EmbeddedPostgres> {
  await mkdir(dir, { recursive: true, mode: 0o711 })
  const account = await systemAccount(log)
  const home = await homeOf(await realpath(dir), account, log)
  const bin = await nativeBin(packageDir, account, account === undefined ? home : ELSEWHERE)
  const logFile = join(dir, 'postgres.log')
  await rotate(logFile)
  const cluster: Cluster = { dir: join(home, 'cluster'), bin, socketDir: await socketDirOf(home, account), logFile, account }
  const password = await ensureCluster(home, cluster, log)
  if (await stopLeftOver(cluster.dir)) log.warn({ cluster: cluster.dir }, 'stopped the embedded PostgreSQL that a killed process left behind')
  const stop = await keepRunning(cluster, log)
  return { connectionString: `postgresql://postgres:${password}@localhost/postgres?host=${encodeURIComponent(cluster.socketDir)}`, stop }
}

/**
 * The directory that holds cluster, password and socket: `dir`, or one elsewhere that `dir` points to. Once made, a pointer is
 * followed for ever, so that a later change of modes never makes people's decisions seem lost.
 */
async function homeOf(dir: string, account: Account | undefined, log: Log): Promise<string> {
  const pointer = join(dir, POINTER)
  const recorded = (await readFile(pointer, 'utf8').catch(() => '')).trim()
  if (recorded !== '') return recorded
  if (await reachable(dir, account)) return dir
  if (await exists(join(dir, 'cluster'))) {
    throw new Error(`the system user postgres cannot reach the PostgreSQL cluster in ${dir}: check the modes of its parent directories`)
  }
  const home = join(ELSEWHERE, `pg-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`)
  await setAside(home, log)
  await mkdir(home, { recursive: true, mode: 0o755 })
  await writeFile(pointer, `${home}\n`)
  log.warn({ dir, cluster: home }, 'the system user postgres cannot reach the data directory: the PostgreSQL cluster is kept elsewhere')
  return home
}

/** A cluster nobody points to belonged to a data directory that was deleted: a fresh one must start empty, yet nothing is destroyed. */
async function setAside(home: string, log: Log): Promise<void> {
  if (!(await exists(home))) return
  if (await exists(join(home, 'cluster'))) await stopLeftOver(join(home, 'cluster'))
  const aside = `${home}.abandoned-${randomBytes(4).toString('hex')}`
  await rename(home, aside)
  log.warn({ aside }, 'an earlier PostgreSQL cluster of a deleted data directory was set aside; delete it when it is not needed')
}

async function ownDirectory(path: string, account: Account | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const found = await lstat(path)
  const mine = process.getuid?.()
  if (!found.isDirectory() || (found.uid !== mine && found.uid !== account?.uid)) throw new Error(`${path} belongs to somebody else`)
  await chmod(path, 0o700)
  if (account !== undefined) await chown(path, account.uid, account.gid)
}

async function socketDirOf(home: string, account: Account | undefined): Promise<string> {
  const inside = join(home, 'run')
  const fits = Buffer.byteLength(join(inside, '.s.PGSQL.5432')) <= SOCKET_PATH_BYTES
  const path = fits ? inside : join(tmpdir(), `zhenhao-pg-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`)
  await ownDirectory(path, account)
  return path
}

/** Makes the cluster when there is none and returns its password. A half-made one (kill -9 during initdb) is never used: the rename is last. */
async function ensureCluster(home: string, cluster: Cluster, log: Log): Promise<string> {
  const passwordFile = join(home, 'password')
  if (await exists(cluster.dir)) return (await readFile(passwordFile, 'utf8')).trim()
  for (const name of await readdir(home)) if (name.startsWith('cluster.new-')) await rm(join(home, name), { recursive: true, force: true })
  const password = randomBytes(24).toString('hex')
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  if (cluster.account !== undefined) await chown(passwordFile, cluster.account.uid, cluster.account.gid)
  const unfinished = join(home, `cluster.new-${randomBytes(4).toString('hex')}`)
  await ownDirectory(unfinished, cluster.account)
  const args = ['-D', unfinished, '--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`,
    '--encoding=UTF8', '--no-locale', '--no-instructions']
  await promisify(execFile)(join(cluster.bin, 'initdb'), args, { cwd: '/', env: { LC_ALL: 'C', TZ: 'UTC' }, ...cluster.account })
  await rename(unfinished, cluster.dir)
  log.info({ cluster: cluster.dir }, 'made the embedded PostgreSQL cluster')
  return password
}

async function rotate(logFile: string): Promise<void> {
  const size = await stat(logFile).then((s) => s.size, () => 0)
  if (size > LOG_KEEP_BYTES) await rename(logFile, `${logFile}.1`)
}

/** Starts the server, and again whenever it ends unasked. Returns how to stop it for good. */
async function keepRunning(cluster: Cluster, log: Log): Promise<() => Promise<void>> {
  const stopped = new AbortController()
  let pid = 0
  let restarting: Promise<void> = Promise.resolve()

  const start = async (): Promise<void> => {
    const child = await startPostmaster(cluster)
    pid = child.pid
    const ended = (): void => {
      if (stopped.signal.aborted) return
      log.error({ exit: child.exitCode ?? child.signalCode }, 'the embedded PostgreSQL ended unasked: starting it again')
      restarting = startAgain()
    }
    if (child.exitCode === null && child.signalCode === null) child.once('exit', ended)
    else ended()
  }
  const startAgain = async (): Promise<void> => {
    for (let waitMs = RESTART_MIN_MS; !stopped.signal.aborted; waitMs = Math.min(waitMs * 2, RESTART_MAX_MS)) {
      try {
        await start()
        return
      } catch (error) {
        log.error({ error: String(error) }, 'the embedded PostgreSQL could not be started again yet')
        await sleep(waitMs, undefined, { signal: stopped.signal }).catch(() => undefined)
      }
    }
  }

  for (let left = FIRST_TRIES - 1; ; left--) {
    try {
      await start()
      break
    } catch (error) {
      if (left === 0 || !String(error).includes('shared memory block')) throw error
      await sleep(RESTART_MIN_MS)
    }
  }
  return async () => {
    stopped.abort()
    await restarting
    await stopPostmaster(pid, cluster.dir)
  }
}
