import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pool } from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/adapters/postgres/embedded.js'
import { migrate } from '../../src/adapters/postgres/migrate.js'
import { createPool, type Log } from '../../src/adapters/postgres/pool.js'

/** Says nothing. */
export const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** A directory under the system's temporary one that the user postgres can walk into. */
export async function openTempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'zhenhao-pg-'))
  await chmod(dir, 0o711)
  return dir
}

export interface Database { connectionString: string; pool: Pool }

export interface TestPostgres {
  /** A database of its own, with the schema unless told otherwise. */
  fresh(options?: { migrated?: boolean }): Promise<Database>
  /** One more pool on a database, as another process would have. */
  another(database: Database): Pool
}

/** The real server, started once for a test file and removed after it. Call at the top of a file or a describe block. */
export function usePostgres(): TestPostgres {
  const pools: Pool[] = []
  let dir = ''
  let server: EmbeddedPostgres | undefined
  const open = (connectionString: string, max?: number): Pool => {
    const pool = createPool(connectionString, quiet, max)
    pools.push(pool)
    return pool
  }

  beforeAll(async () => {
    dir = await openTempDir()
    server = await startEmbeddedPostgres(dir, quiet)
  })
  afterAll(async () => {
    // Together: a test that failed with a client in hand must not keep the server alive.
    await Promise.all([...pools.filter((pool) => !pool.ended).map((pool) => pool.end()), server?.stop()])
    await rm(dir, { recursive: true, force: true })
  })

  return {
    async fresh({ migrated = true } = {}) {
      if (server === undefined) throw new Error('usePostgres: the server is not started yet')
      const name = `t${randomBytes(6).toString('hex')}`
      const maker = open(server.connectionString, 1)
      await maker.query(`CREATE DATABASE ${name}`)
      await maker.end()
      const connectionString = server.connectionString.replace('/postgres?', `/${name}?`)
      if (migrated) await migrate(connectionString, quiet)
      return { connectionString, pool: open(connectionString) }
    },
    another: ({ connectionString }) => open(connectionString),
  }
}
