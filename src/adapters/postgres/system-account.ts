import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Log } from './pool.js'

const run = promisify(execFile)

/** The user a PostgreSQL server runs as. */
export interface Account { uid: number; gid: number }

const USER = 'postgres'

async function look(): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', USER]), run('id', ['-g', USER])])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return undefined
  }
}

/**
 * PostgreSQL refuses to run as root. Undefined when we are not root and it may run as ourselves; otherwise the system
 * user `postgres`, made when it is missing. Throws when it can be neither found nor made.
 */
export async function systemAccount(log: Log): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const found = await look()
  if (found !== undefined) return found
  await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', USER]).catch(() => undefined)
  const made = await look()
  if (made === undefined) {
    throw new Error('PostgreSQL does not run as root and no system user "postgres" could be made: make one, run as another user, or set DATABASE_URL')
  }
  log.info({ user: USER }, 'made the system user for the embedded PostgreSQL')
  return made
}

/** Whether the account can walk into the directory `path` from the root down. Further groups and ACLs are not looked at: a cautious no. */
export async function reachable(path: string, account: Account | undefined): Promise<boolean> {
  if (account === undefined) return true
  for (let at = path; ; at = dirname(at)) {
    const { mode, uid, gid } = await stat(at)
    const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & execute) === 0) return false
    if (at === dirname(at)) return true
  }
}
