import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from './durable-file.js'

/** The data directory is taken by a living process. */
export class DataDirTaken extends Error {
  constructor(readonly holder: Holder, dir: string) {
    super(`${dir} is in use by process ${holder.pid}`)
  }
}

/** Who holds a data directory, and how other commands on this machine may speak to it. */
export interface Holder extends Partial<Announcement> {
  pid: number
  /** When the process began, as the kernel counts it; tells it from a later one with the same pid. Linux only. */
  born?: string
}

/** `databaseUrl` only when PostgreSQL is embedded. */
export interface Announcement { url: string; controlKey: string; databaseUrl: string | undefined }

export interface DataDir {
  readonly dir: string
  path(name: string): string
  /** Tells other commands where the server listens; readable by this user only. */
  announce(announcement: Announcement): Promise<void>
  release(): Promise<void>
}

const LOCK = 'process.json'
const TRIES = 5

/** Takes the directory for this process, making it when missing. A lock whose process is gone (kill -9) is taken over. */
export async function takeDataDir(dir: string): Promise<DataDir> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const lock = join(dir, LOCK)
  const me: Holder = { pid: process.pid, ...await birthOf(process.pid) }
  const write = (holder: Holder): Promise<void> => replaceFile(lock, JSON.stringify(holder))
  await acquire(dir, lock, JSON.stringify(me))
  return {
    dir,
    path: (name) => join(dir, name),
    announce: (announcement) => write({ ...me, ...announcement }),
    async release() {
      const holder = parseHolder(await readFile(lock, 'utf8').catch(() => ''))
      if (holder?.pid === me.pid && holder.born === me.born) await rm(lock, { force: true })
    },
  }
}

/** The lock appears with its content in one step, so nobody ever sees half of one. */
async function acquire(dir: string, lock: string, content: string): Promise<void> {
  const own = `${lock}.${process.pid}`
  await writeFile(own, content, { mode: 0o600 })
  try {
    for (let tries = 1; ; tries++) {
      try {
        await link(own, lock)
        return
      } catch (fault) {
        if ((fault as NodeJS.ErrnoException).code !== 'EEXIST' || tries === TRIES) throw fault
      }
      const seen = await readFile(lock, 'utf8').catch(() => undefined)
      if (seen === undefined) continue
      const holder = await living(seen)
      if (holder) throw new DataDirTaken(holder, dir)
      await removeStale(lock, seen)
    }
  } finally {
    await rm(own, { force: true })
  }
}

/** Two processes may find the same stale lock: only one moves it away; who moved a fresh one instead puts it back. */
async function removeStale(lock: string, seen: string): Promise<void> {
  const away = `${lock}.${process.pid}.stale`
  try {
    await rename(lock, away)
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return
    throw fault
  }
  if (await readFile(away, 'utf8') !== seen) await link(away, lock)
  await rm(away, { force: true })
}

/** The living process that holds `dir`; undefined when none does. */
export async function holderOf(dir: string): Promise<Holder | undefined> {
  return living(await readFile(join(dir, LOCK), 'utf8').catch(() => ''))
}

async function living(text: string): Promise<Holder | undefined> {
  const holder = parseHolder(text)
  return holder && await isAlive(holder) ? holder : undefined
}

function parseHolder(text: string): Holder | undefined {
  try { return JSON.parse(text) as Holder } catch { return undefined }
}

/** A pid may have been given to another program since: the time of birth tells, or else whether it is a node process. */
async function isAlive({ pid, born }: Holder): Promise<boolean> {
  try { process.kill(pid, 0) } catch (fault) { if ((fault as NodeJS.ErrnoException).code !== 'EPERM') return false }
  const now = await birthOf(pid)
  if (born !== undefined && now.born !== undefined) return born === now.born
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  return pid !== process.pid && (commandLine === undefined || /node|zhenhao/.test(commandLine))
}

/** Fields 3 and 22 of /proc/PID/stat (see proc(5)), counted after the command, which may hold blanks. A zombie is no more. */
async function birthOf(pid: number): Promise<Pick<Holder, 'born'>> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const born = fields[0] === 'Z' ? undefined : fields[19]
  return born === undefined ? {} : { born }
}

/** A secret of 32 bytes kept in a file of mode 0600, made at first use. */
export async function secretFile(path: string): Promise<Buffer> {
  const text = await readFile(path, 'utf8').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (text !== undefined) {
    const bytes = /^[0-9a-f]{64}\s*$/i.test(text) ? Buffer.from(text.trim(), 'hex') : undefined
    if (!bytes) throw new Error(`${path} does not hold 32 bytes in hex; restore it from a backup: without it nobody is recognised again`)
    return bytes
  }
  const bytes = randomBytes(32)
  await replaceFile(path, `${bytes.toString('hex')}\n`)
  return bytes
}

/** Whether `value` is the one this file was first written with; the first caller writes it. */
export async function sameAsEver(path: string, value: string): Promise<boolean> {
  const known = await readFile(path, 'utf8').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (known === undefined) await writeFile(path, value, { mode: 0o600 })
  return known === undefined || known === value
}
