import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, lstat, mkdir, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/adapters/postgres/embedded.js'
import { migrate } from '../../src/adapters/postgres/migrate.js'
import { findPackage } from '../../src/adapters/postgres/native.js'
import { createPool, type Log } from '../../src/adapters/postgres/pool.js'
import { systemAccount } from '../../src/adapters/postgres/system-account.js'
import { openTempDir, quiet } from '../support/postgres.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const isRoot = process.getuid?.() === 0

describe('the embedded PostgreSQL', () => {
  const toRemove: string[] = []
  const servers: EmbeddedPostgres[] = []
  const children: ChildProcess[] = []
  const logged: string[] = []
  const log: Log = { info: () => undefined, warn: (_: object, m: string) => { logged.push(m) }, error: (_: object, m: string) => { logged.push(m) } }

  afterEach(async () => {
    children.splice(0).forEach((child) => { child.kill('SIGKILL') })
    await Promise.all(servers.splice(0).map((server) => server.stop()))
    logged.splice(0)
  })
  afterAll(async () => { await Promise.all(toRemove.map((path) => rm(path, { recursive: true, force: true }))) })

  const newDir = async (): Promise<string> => {
    const dir = await openTempDir()
    toRemove.push(dir)
    return dir
  }
  const start = async (dir: string, packageDir?: string): Promise<EmbeddedPostgres> => {
    const server = await startEmbeddedPostgres(dir, log, packageDir)
    servers.push(server)
    return server
  }
  const stopAll = (): Promise<unknown> => Promise.all(servers.splice(0).map((server) => server.stop()))
  const query = async (server: { connectionString: string }, sql: string): Promise<unknown[]> => {
    const pool = createPool(server.connectionString, quiet, 1)
    try {
      return (await pool.query<Record<string, unknown>>(sql)).rows.map((row) => Object.values(row)[0])
    } finally {
      await pool.end()
    }
  }
  const pidOf = async (clusterDir: string): Promise<number> => Number.parseInt(await readFile(join(clusterDir, 'postmaster.pid'), 'utf8'), 10)
  const eventually = async (check: () => Promise<boolean>, withinMs = 10_000): Promise<void> => {
    for (const end = Date.now() + withinMs; !(await check());) {
      if (Date.now() > end) throw new Error('it did not come true in time')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** PostgreSQL's own time to make a cluster here and now: what a first start is measured against on a shared machine. */
  async function bareInitdbMs(): Promise<number> {
    const dir = join(await newDir(), 'bare')
    const account = await systemAccount(quiet)
    await mkdir(dir)
    if (account !== undefined) await chown(dir, account.uid, account.gid)
    const before = performance.now()
    const initdb = join(findPackage(), 'native', 'bin', 'initdb')
    await promisify(execFile)(initdb, ['-D', dir, '--no-locale', '--encoding=UTF8'], { cwd: '/', env: {}, ...account })
    return performance.now() - before
  }

  it('starts little slower than initdb runs, later much faster, and keeps what was written', async () => {
    const bareMs = await bareInitdbMs()
    const dir = await newDir()
    const before = performance.now()
    const first = await start(dir)
    const firstMs = performance.now() - before
    await query(first, 'CREATE TABLE kept AS SELECT \'真号\' AS name')
    await stopAll()
    const again = performance.now()
    const second = await start(dir)
    const laterMs = performance.now() - again
    expect(await query(second, 'SELECT name FROM kept')).toEqual(['真号'])
    console.info(`embedded PostgreSQL: initdb ${Math.round(bareMs)} ms, first start ${Math.round(firstMs)} ms, later start ${Math.round(laterMs)} ms`)
    expect(firstMs).toBeLessThan(2.5 * bareMs + 500)
    expect(laterMs).toBeLessThan(bareMs + 500)
  })

  it('is durable, speaks UTF-8, has no TCP port, and keeps its password to itself', async () => {
    const dir = await newDir()
    const server = await start(dir)
    const settings = ['fsync', 'synchronous_commit', 'full_page_writes', 'server_encoding', 'listen_addresses']
    expect(await query(server, `SELECT current_setting(n) FROM unnest('{${settings.join(',')}}'::text[]) n`)).toEqual(['on', 'on', 'on', 'UTF8', ''])
    expect((await stat(join(dir, 'password'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(dir, 'run'))).mode & 0o777).toBe(0o700)
    await expect(query({ connectionString: server.connectionString.replace(/:[0-9a-f]+@/, ':wrong@') }, 'SELECT 1')).rejects.toThrow('password')
    const command = await readFile(`/proc/${await pidOf(join(dir, 'cluster'))}/environ`, 'utf8')
    expect(command.split('\0').filter((v) => v !== '' && !v.startsWith('LC_') && !v.startsWith('PG'))).toEqual([])
  })

  it('is gone after stop', async () => {
    const dir = await newDir()
    await start(dir)
    const pid = await pidOf(join(dir, 'cluster'))
    await stopAll()
    expect(existsSync(`/proc/${pid}/cwd`)).toBe(false)
    expect(existsSync(join(dir, 'cluster', 'postmaster.pid'))).toBe(false)
    expect(logged).toEqual([])
  })

  it('starts again by itself, at the same address and with every row, when the server is killed', async () => {
    const dir = await newDir()
    const server = await start(dir)
    await query(server, 'CREATE TABLE kept AS SELECT 1 AS n')
    for (let round = 2; round <= 3; round++) {
      const killed = await pidOf(join(dir, 'cluster'))
      process.kill(killed, 'SIGKILL')
      await eventually(async () => query(server, `INSERT INTO kept VALUES (${round}) RETURNING n`).then(() => true, () => false))
      expect(await pidOf(join(dir, 'cluster'))).not.toBe(killed)
    }
    expect(await query(server, 'SELECT n FROM kept ORDER BY n')).toEqual([1, 2, 3])
  })

  /** A node process with the adapters as the build leaves them (plain JavaScript and source maps), that starts the server and hangs. */
  async function otherProcess(dir: string): Promise<{ connectionString: string; kill(): Promise<void> }> {
    const out = join(ROOT, 'node_modules', '.cache', `zhenhao-${randomBytes(6).toString('hex')}`)
    toRemove.push(out)
    for (const folder of ['adapters/postgres', 'domain', 'ports']) await transpile(join(ROOT, 'src', folder), join(out, folder))
    await writeFile(join(out, 'run.js'), `
      import { startEmbeddedPostgres } from './adapters/postgres/embedded.js'
      import { migrate } from './adapters/postgres/migrate.js'
      const log = { info() {}, warn() {}, error() {} }
      const { connectionString } = await startEmbeddedPostgres(process.argv[2], log)
      await migrate(connectionString, log)
      console.log(connectionString)
      setInterval(() => {}, 1000)`)
    const child = spawn(process.execPath, [join(out, 'run.js'), dir], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    const connectionString = await new Promise<string>((resolve, reject) => {
      child.stdout.once('data', (line: Buffer) => { resolve(line.toString().trim()) })
      child.once('exit', (code) => { reject(new Error(`exit ${String(code)}`)) })
    })
    const kill = (): Promise<void> => new Promise((resolve) => {
      // 'close' comes only when nobody holds the pipe any more: the server must not.
      child.once('close', () => { resolve() })
      child.kill('SIGKILL')
    })
    return { connectionString, kill }
  }

  async function transpile(from: string, to: string): Promise<void> {
    for (const file of await readdir(from, { recursive: true })) {
      if (!file.endsWith('.ts')) continue
      const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, sourceMap: true, verbatimModuleSyntax: true }
      const result = ts.transpileModule(await readFile(join(from, file), 'utf8'), { compilerOptions })
      const target = join(to, file.replace(/\.ts$/, '.js'))
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, result.outputText)
      await writeFile(`${target}.map`, result.sourceMapText ?? '')
    }
  }

  it('takes over from a process that was killed with -9: its server is found, stopped, and every row is there', async () => {
    const dir = await newDir()
    const other = await otherProcess(dir)
    await query(other, 'INSERT INTO policies VALUES (\'h-1\', \'{}\', \'lea\', 1, 1)')
    const orphan = await pidOf(join(dir, 'cluster'))
    await other.kill()
    expect(await query(other, 'SELECT 1')).toEqual([1])
    const server = await start(dir)
    expect(logged).toEqual(['stopped the embedded PostgreSQL that a killed process left behind'])
    expect(await pidOf(join(dir, 'cluster'))).not.toBe(orphan)
    expect(existsSync(`/proc/${orphan}/cwd`)).toBe(false)
    expect(await query(server, 'SELECT hospital_id FROM policies')).toEqual(['h-1'])
    await migrate(server.connectionString, quiet)
  })

  it('starts when both were killed with -9, while the server\'s children still end', async () => {
    const dir = await newDir()
    const other = await otherProcess(dir)
    await query(other, 'CREATE TABLE kept AS SELECT 7 AS n')
    await other.kill()
    process.kill(await pidOf(join(dir, 'cluster')), 'SIGKILL')
    expect(await query(await start(dir), 'SELECT n FROM kept')).toEqual([7])
  })

  it('is not stopped by a pid file whose pid now belongs to another program of the same user', async () => {
    const dir = await newDir()
    const server = await start(dir)
    const pidFile = join(dir, 'cluster', 'postmaster.pid')
    const text = await readFile(pidFile, 'utf8')
    await server.stop()
    servers.splice(0)
    const owner = await stat(join(dir, 'cluster'))
    const stranger = spawn('sleep', ['60'], { cwd: '/', uid: owner.uid, gid: owner.gid })
    children.push(stranger)
    await writeFile(pidFile, text.replace(/^\d+/, String(stranger.pid)))
    expect(await query(await start(dir), 'SELECT 1')).toEqual([1])
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
  })

  it('never uses a cluster whose making was cut short', async () => {
    const dir = await newDir()
    await mkdir(join(dir, 'cluster.new-1234'))
    await writeFile(join(dir, 'cluster.new-1234', 'PG_VERSION'), '18\n')
    expect(await query(await start(dir), 'SELECT 1')).toEqual([1])
    expect((await readdir(dir)).filter((name) => name.startsWith('cluster'))).toEqual(['cluster'])
  })

  it('says in the error why the server does not start', async () => {
    const dir = await newDir()
    await start(dir)
    await stopAll()
    await rm(join(dir, 'cluster', 'global'), { recursive: true })
    await expect(start(dir)).rejects.toThrow(/did not start.*global/s)
  })

  it('finds a short place for the socket when the path is too long for one', async () => {
    const dir = join(await newDir(), 'a'.repeat(60), 'b'.repeat(60))
    const server = await start(dir)
    expect(await query(server, 'SELECT 1')).toEqual([1])
    toRemove.push(decodeURIComponent(server.connectionString.split('host=')[1] ?? ''))
  })

  /** The binaries as npm leaves them when the install script was not approved. */
  async function packageWithoutLinks(mode: number): Promise<string> {
    const copy = join(await newDir(), 'package')
    await cp(findPackage(), copy, { recursive: true, verbatimSymlinks: true })
    const libraries = join(copy, 'native', 'lib')
    let removed = 0
    for (const name of await readdir(libraries)) {
      const path = join(libraries, name)
      if (!(await lstat(path)).isSymbolicLink()) continue
      await unlink(path)
      removed += 1
    }
    expect(removed).toBeGreaterThan(5)
    await chmod(join(copy, 'native', 'bin', 'postgres'), 0o644)
    await chmod(copy, mode)
    return copy
  }

  it('makes the libraries\' links itself when the install script did not run', async () => {
    expect(await query(await start(await newDir(), await packageWithoutLinks(0o755)), 'SELECT 1')).toEqual([1])
  })

  it.runIf(isRoot)('runs a copy of binaries that its user cannot reach', async () => {
    const packageDir = await packageWithoutLinks(0o700)
    const manifest = join(packageDir, 'package.json')
    const version = `0.0.0-test-${randomBytes(4).toString('hex')}`
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace(/"version": "[^"]+"/, `"version": "${version}"`))
    toRemove.push(`/var/lib/zhenhao/postgres-${version}`)
    const dir = await newDir()
    expect(await query(await start(dir, packageDir), 'SELECT 1')).toEqual([1])
    await stopAll()
    expect(await query(await start(dir, packageDir), 'SELECT 1')).toEqual([1])
  })

  it.runIf(isRoot)('keeps the cluster elsewhere when its user cannot reach the directory, and starts empty when that was deleted', async () => {
    const parent = await newDir()
    await chmod(parent, 0o700)
    const dir = join(parent, 'postgres')
    const first = await start(dir)
    const home = (await readFile(join(dir, 'moved-to.txt'), 'utf8')).trim()
    toRemove.push(home)
    expect(home).toMatch(/^\/var\/lib\/zhenhao\/pg-[0-9a-f]{12}$/)
    expect(logged.join()).toContain('kept elsewhere')
    await query(first, 'CREATE TABLE kept AS SELECT 1 AS n')
    await stopAll()

    await chmod(parent, 0o711)
    expect(await query(await start(dir), 'SELECT n FROM kept')).toEqual([1])
    await stopAll()

    await chmod(parent, 0o700)
    await rm(dir, { recursive: true })
    expect(await query(await start(dir), 'SELECT count(*)::int FROM pg_tables WHERE tablename = \'kept\'')).toEqual([0])
    const aside = (await readdir(dirname(home))).filter((name) => name.startsWith(relative(dirname(home), home)) && name.includes('abandoned'))
    expect(aside).toHaveLength(1)
    toRemove.push(...aside.map((name) => join(dirname(home), name)))
  })

  it('is migrated by several processes at once as by one', async () => {
    const server = await start(await newDir())
    await Promise.all(Array.from({ length: 5 }, () => migrate(server.connectionString, quiet)))
    expect(await query(server, 'SELECT name FROM zhenhao_migrations ORDER BY id')).toEqual(['1763769600001_holds', '1763769600002_access', '1763769600003_journal', '1763769600004_counters', '1763769600005_hold_ends'])
  })
})
