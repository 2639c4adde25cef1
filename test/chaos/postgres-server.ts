import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPackage, nativeBin } from '../../src/adapters/postgres/native.js'
import { systemAccount } from '../../src/adapters/postgres/system-account.js'
import { openTempDir, quiet } from '../support/postgres.js'
import { freePort } from '../support/process.js'
import type { Part } from './part.js'

export interface PostgresServer extends Part { url: string }

/** Where the server's own user reaches binaries that it could not reach in the checkout. */
const ELSEWHERE = '/var/lib/zhenhao'
const READY_WITHIN_MS = 60_000

/** A PostgreSQL server on a TCP port of loopback, as somebody else would run it, with its durability settings as they ship. */
export async function startPostgresServer(): Promise<PostgresServer> {
  const dir = await openTempDir()
  const account = await systemAccount(quiet)
  const bin = await nativeBin(findPackage(), account, account === undefined ? dir : ELSEWHERE)
  const cluster = join(dir, 'cluster')
  await mkdir(cluster, { mode: 0o700 })
  if (account) await chown(cluster, account.uid, account.gid)
  await promisify(execFile)(join(bin, 'initdb'), ['-D', cluster, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-instructions', '--no-sync'],
    { cwd: '/', env: { LC_ALL: 'C', TZ: 'UTC' }, ...account })
  const port = await freePort()
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`
  const logFile = join(dir, 'postgres.log')
  let child: ChildProcess | undefined
  const onExit = (): void => { child?.kill('SIGKILL') }
  process.once('exit', onExit)

  async function launch(): Promise<void> {
    const output = await open(logFile, 'a', 0o600)
    const args = ['-D', cluster, '-p', port, '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'max_connections=200', '-c', 'shared_buffers=64MB']
    child = spawn(join(bin, 'postgres'), args, { cwd: '/', env: { LC_ALL: 'C' }, stdio: ['ignore', output.fd, output.fd], ...account })
    await output.close()
  }
  const hasEnded = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null
  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (hasEnded()) return
    child?.kill(signal)
    if (child) await once(child, 'exit')
  }
  async function start(): Promise<void> {
    for (const deadline = Date.now() + READY_WITHIN_MS; ;) {
      // Children of a killed server hold its shared memory for a moment, and it rightly refuses to start until they end.
      if (hasEnded()) await launch()
      if (await answers(url)) return
      if (Date.now() > deadline) throw new Error(`PostgreSQL did not start: ${(await readFile(logFile, 'utf8')).slice(-2_000)}`)
      await sleep(50)
    }
  }

  await start()
  return {
    url, start, kill: () => kill(),
    async stop() {
      await kill('SIGINT')
      process.off('exit', onExit)
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
