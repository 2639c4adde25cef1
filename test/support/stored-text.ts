import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createChdbConnection } from 'chdb/connection'
import { createPool } from '../../src/adapters/postgres/pool.js'

/** Something that was stored, with the place it stands. */
export interface Stored { place: string; bytes: Buffer }

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** Every file below `dir`, whole. */
export async function* everyFile(dir: string): AsyncGenerator<Stored> {
  for (const name of await readdir(dir, { recursive: true })) {
    const place = join(dir, name)
    if ((await stat(place)).isFile()) yield { place, bytes: await readFile(place) }
  }
}

/** Every column of every table that people's data could be in, as PostgreSQL shows it. */
export async function* everyPostgresColumn(connectionString: string): AsyncGenerator<Stored> {
  const pool = createPool(connectionString, quiet)
  try {
    const { rows: columns } = await pool.query<{ schema: string; table: string; column: string }>(
      `SELECT quote_ident(table_schema) AS schema, quote_ident(table_name) AS table, quote_ident(column_name) AS column
       FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`)
    for (const { schema, table, column } of columns) {
      const { rows } = await pool.query<{ value: string | null }>(`SELECT ${column}::text AS value FROM ${schema}.${table}`)
      yield { place: `${schema}.${table}.${column}`, bytes: Buffer.from(rows.map(({ value }) => value ?? '').join('\n')) }
    }
  } finally {
    await pool.end()
  }
}

/** The same for ClickHouse. No other process may have `path` open. */
export async function* everyClickHouseColumn(path: string): AsyncGenerator<Stored> {
  const engine = createChdbConnection({ path })
  const ask = async (query: string): Promise<string> => text((await engine.query({ query })).stream)
  try {
    const columns = await ask(`SELECT database, table, name FROM system.columns WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
      AND default_kind != 'EPHEMERAL' FORMAT JSONEachRow`)
    for (const line of columns.split('\n').filter((row) => row !== '')) {
      const { database, table, name } = JSON.parse(line) as { database: string; table: string; name: string }
      yield { place: `${database}.${table}.${name}`, bytes: Buffer.from(await ask(`SELECT toString(\`${name}\`) FROM \`${database}\`.\`${table}\` FORMAT TSVRaw`)) }
    }
  } finally {
    await engine.close()
  }
}
