import { fileURLToPath, pathToFileURL } from 'node:url'
import { runner, type RunnerOption } from 'node-pg-migrate'
import type { Log } from './pool.js'

type Loader = Exclude<NonNullable<RunnerOption['migrationLoaderStrategies']>[number]['loader'], string>
type Actions = Awaited<ReturnType<Loader>>[number]['actions']

/** Node's own import: the package's default would transpile our compiled migrations once more. */
const load: Loader = (paths) => Promise.all(paths.map(async (path) => {
  const actions = await import(pathToFileURL(path).href) as Actions
  return { id: path, filePaths: [path], actions }
}))

/**
 * Brings the schema up to date, all pending migrations in one transaction. Several processes may call it at once: they wait
 * for each other on an advisory lock. Uses a connection of its own, because that wait may be longer than a statement is allowed.
 * Throws when the database has migrations that this version does not know in between its own.
 */
export async function migrate(connectionString: string, log: Log): Promise<void> {
  const done = await runner({
    databaseUrl: { connectionString, application_name: 'zhenhao-migrate', connectionTimeoutMillis: 5_000 },
    dir: fileURLToPath(new URL('./migrations', import.meta.url)),
    // The build leaves source maps (and could leave types) beside the compiled migrations.
    ignorePattern: '(\\..*|.*\\.(map|d\\.ts))',
    migrationLoaderStrategies: [{ extensions: ['.js', '.ts'], loader: load }],
    migrationsTable: 'zhenhao_migrations',
    direction: 'up',
    singleTransaction: true,
    advisoryLockMode: 'wait',
    // It logs every step as info; what matters is what was done.
    logger: { info: () => undefined, warn: (message) => { log.warn({}, message) }, error: (message) => { log.error({}, message) } },
  })
  if (done.length > 0) log.info({ migrations: done.map((m) => m.name) }, 'migrated the PostgreSQL schema')
}
