import type { Connection } from './connection.js'
import { HistoryFault } from './faults.js'
import type { Shape } from './rows.js'
import { MIGRATIONS, TABLES, bootstrap, modifyTtl, storageName, ttlOf, type Layout, type Migration } from './schema.js'
import { textRow } from './tab-separated.js'

/**
 * Brings the schema to the newest version this program knows. Safe at every start and in several processes at once:
 * each statement may be repeated, and so may the note that it ran.
 * Throws HistoryFault `NEWER_SCHEMA` when a newer program was here: its tables may mean something else.
 */
export async function migrate(connection: Connection, layout: Layout, migrations: readonly Migration[] = MIGRATIONS): Promise<void> {
  for (const statement of bootstrap(layout)) await connection.command('creating the database', statement)
  const applied = await appliedVersion(connection)
  const newest = migrations.at(-1)?.version ?? 0
  if (applied > newest) {
    const message = `${connection.where}: the history schema is version ${applied}, this program knows ${newest}: run the newer program`
    throw new HistoryFault(message, 'NEWER_SCHEMA', false)
  }
  for (const migration of migrations.filter((m) => m.version > applied)) await apply(connection, layout, migration)
  await applyRetention(connection, layout)
}

/** The note that a migration ran. */
export const APPLIED: Shape<Pick<Migration, 'version' | 'name'>> = {
  columns: ['version', 'name'], toRow: ({ version, name }) => textRow([version, name]),
}

async function apply(connection: Connection, layout: Layout, { version, name, statements }: Migration): Promise<void> {
  for (const statement of statements(layout)) await connection.command(`migration ${version} (${name})`, statement)
  await connection.insert(`${layout.database}.schema_migrations`, `migration:${version}`, [{ version, name }], APPLIED)
}

async function appliedVersion(connection: Connection): Promise<number> {
  const rows = await connection.select<[number]>('reading the schema version', `SELECT max(version) FROM ${connection.database}.schema_migrations`)
  return rows[0]?.[0] ?? 0
}

/** A changed retention in the configuration reaches tables that exist already. */
async function applyRetention(connection: Connection, layout: Layout): Promise<void> {
  const query = 'SELECT name, create_table_query FROM system.tables WHERE database = {database:String}'
  const ddl = new Map(await connection.select<[string, string]>('reading the retention', query, { database: layout.database }))
  for (const table of TABLES) {
    if (ddl.get(storageName(layout, table))?.includes(`TTL ${ttlOf(table, layout.retention)} `)) continue
    await connection.command(`setting the retention of ${table}`, modifyTtl(layout, table))
  }
}
