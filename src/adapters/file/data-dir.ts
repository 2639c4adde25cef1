import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The data directory is taken by a living process. */
export class DataDirTaken extends Error {
  constructor(readonly holder: Holder, dir: string) {
    super(`${dir} is in use by process ${holder.pid}`)
  }
}

/** Who holds a data directory, and how other commands on this machine may speak to it. */
export interface Holder extends Partial<Announcement> { pid: number }

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

/** Takes the directory for this process, making it when missing. A lock whose process is gone (kill -9) is taken over. */
export async function takeDataDir(dir: string): Promise<DataDir> {
  await mkdir(dir, { recursive: true })
  const lock = join(dir, LOCK)
  for (let tries = 0; ; tries++) {
    try {
      const file = await open(lock, 'wx', 0o600)
      await file.writeFile(JSON.stringify({ pid: process.pid } satisfies Holder))
      await file.close()
      break
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 1) throw fault
      const holder = await holderOf(dir)
      if (holder) throw new DataDirTaken(holder, dir)
      await rm(lock, { force: true })
    }
  }
  const write = (holder: Holder): Promise<void> => writeFile(lock, JSON.stringify(holder), { mode: 0o600 })
  return {
    dir,
    path: (name) => join(dir, name),
    announce: (announcement) => write({ pid: process.pid, ...announcement } as Holder),
    release: () => rm(lock, { force: true }),
  }
}

/** The living process that holds `dir`; undefined when none does. */
export async function holderOf(dir: string): Promise<Holder | undefined> {
  const text = await readFile(join(dir, LOCK), 'utf8').catch(() => '')
  if (text === '') return undefined
  const holder = parseHolder(text)
  return holder && holder.pid !== process.pid && (await isNode(holder.pid)) ? holder : undefined
}

function parseHolder(text: string): Holder | undefined {
  try { return JSON.parse(text) as Holder } catch { return undefined }
}

/** A pid may have been given to another program since: only a live node process counts. */
async function isNode(pid: number): Promise<boolean> {
  try { process.kill(pid, 0) } catch (fault) { return (fault as NodeJS.ErrnoException).code === 'EPERM' }
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  return commandLine === undefined || /node|zhenhao/.test(commandLine)
}

/** A secret of 32 bytes kept in a file of mode 0600, made at first use. */
export async function secretFile(path: string): Promise<Buffer> {
  const text = await readFile(path, 'utf8').catch((fault: unknown) => {
    if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault
  })
  if (text !== undefined) {
    const bytes = Buffer.from(text.trim(), 'hex')
    if (bytes.length !== 32) throw new Error(`${path} does not hold 32 bytes in hex; restore it from a backup: without it nobody is recognised again`)
    return bytes
  }
  const bytes = randomBytes(32)
  await writeFile(path, `${bytes.toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  await chmod(path, 0o600)
  return bytes
}
