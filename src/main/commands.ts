import { connect } from 'node:net'
import { DataDirTaken, holderOf, secretFile, takeDataDir, type DataDir, type Holder } from '../adapters/file/data-dir.js'
import { openFileJournal } from '../adapters/file/journal.js'
import { readRuleFiles } from '../adapters/file/rule-files.js'
import { createLog } from '../adapters/pino/log.js'
import { createAccessStore } from '../adapters/postgres/access-store.js'
import { createPool } from '../adapters/postgres/pool.js'
import { ANSWER_MS, connectRedis } from '../adapters/redis/connect.js'
import { writeChecks, type Check } from '../cli/doctor.js'
import { wordsOf, type ExitCode, type Io } from '../cli/io.js'
import { writeCreatedKey, writeKeys, writeRevoked } from '../cli/keys.js'
import type { Actions } from '../cli/program.js'
import { writeRebuilt } from '../cli/rebuild.js'
import { writeRulesCheck } from '../cli/rules.js'
import { writeConfigProblems, writeSettings } from '../cli/serve.js'
import { configFromEnvironment, describeConfig, type Config } from '../config.js'
import { buildRulebook } from '../pipeline/rulebook.js'
import type { AccessStore } from '../ports/access-store.js'
import { evaluate } from './evaluate.js'
import { newKey } from './identity.js'
import { remoteEngine, remoteRebuild } from './remote.js'
import { createReplayEngine, replay } from './replay.js'
import { startRuntime, type Runtime } from './runtime.js'
import { serve } from './serve.js'
import { simulate } from './simulate.js'
import { openClickhouse, openDatabase, openEventLog, type Closers } from './stores.js'

/** What each command does, with the configuration read when it is needed: a bad one is reported whole. */
export function createActions(io: Io): Actions {
  const withConfig = (run: (config: Config) => Promise<ExitCode>): Promise<ExitCode> => {
    const read = configFromEnvironment()
    return read.ok ? run(read.config) : Promise.resolve(writeConfigProblems(io, read.problems))
  }
  return {
    serve: (options) => withConfig((config) => options.checkConfig ? Promise.resolve(writeSettings(io, describeConfig(config))) : serve(config, io, options)),
    replay: (options) => withConfig(async (config) => {
      if (!options.record) return replay(io, options, await createReplayEngine(config))
      return onDataDir(config, (server) => replay(io, options, remoteEngine(server)), (runtime) => replay(io, options, runtime.engine))
    }),
    // The configuration is read for Kafka only: a city in a file needs none.
    simulate: (options) => options.to === 'kafka' ? withConfig((config) => simulate(io, options, config)) : simulate(io, options),
    evaluate: (options) => evaluate(io, options),
    rulesCheck: ({ dir, json }) => withConfig(async (config) => {
      const { rulebook, problems } = buildRulebook(await readRuleFiles(dir ?? config.rulesDir), [])
      return writeRulesCheck(io, { rules: rulebook?.rules.rules.length ?? 0, policies: rulebook ? rulebook.policies.count : 0, problems }, { json })
    }),
    rebuild: () => withConfig((config) => {
      const startedAt = Date.now()
      const done = (events: number): ExitCode => writeRebuilt(io, { events, seconds: (Date.now() - startedAt) / 1000 })
      return onDataDir(config, async (server) => done(await remoteRebuild(server)), async (runtime) => done(await runtime.keeping.rebuild()))
    }),
    keysCreate: ({ role, hospital, cidr, json }) => withConfig((config) => withKeys(config, async (access) => {
      const { key, secret } = newKey(role, { ...(hospital === undefined ? {} : { hospitalId: hospital }), ...(cidr === undefined ? {} : { cidr }) }, Date.now())
      await access.create(key)
      return writeCreatedKey(io, key, secret, { json })
    })),
    keysList: ({ json }) => withConfig((config) => withKeys(config, async (access) => writeKeys(io, await access.list(), { json }))),
    keysRevoke: ({ keyId }) => withConfig((config) => withKeys(config, async (access) => writeRevoked(io, keyId, await access.revoke(keyId, Date.now())))),
    doctor: ({ json }) => withConfig(async (config) => writeChecks(io, await examine(config), { json })),
  }
}

type Server = Holder & { url: string; controlKey: string }

/** Speaks to the server that holds the data directory, or opens the stores itself when none does. */
async function onDataDir<T>(config: Config, remote: (server: Server) => Promise<T>, local: (runtime: Runtime) => Promise<T>): Promise<T> {
  const data = await takeDataDir(config.dataDir).catch((fault: unknown) => {
    if (fault instanceof DataDirTaken) return fault.holder
    throw fault
  })
  if ('pid' in data) {
    const { url, controlKey } = data
    if (url === undefined || controlKey === undefined) throw new Error(`process ${data.pid} holds ${config.dataDir} but is not ready; wait for it or stop it`)
    return remote({ ...data, url, controlKey })
  }
  try {
    const runtime = await startRuntime(config, data, createLog('warn'), { stream: false })
    try { return await local(runtime) } finally { await runtime.stop() }
  } finally {
    await data.release()
  }
}

/** API keys live in PostgreSQL: the configured one, the running server's embedded one, or the embedded one started for this. */
async function withKeys(config: Config, use: (access: AccessStore) => Promise<ExitCode>): Promise<ExitCode> {
  const log = createLog('warn')
  const running = config.databaseUrl === undefined ? await holderOf(config.dataDir) : undefined
  if (running?.databaseUrl !== undefined) {
    const pool = createPool(running.databaseUrl, log)
    try { return await use(createAccessStore(pool)) } finally { await pool.end() }
  }
  const data: DataDir | undefined = config.databaseUrl === undefined ? await takeDataDir(config.dataDir) : undefined
  const closers: Closers = []
  try {
    const { pool } = await openDatabase(config, data ?? { path: (name) => name }, log, closers)
    return await use(createAccessStore(pool))
  } finally {
    for (const close of closers.reverse()) await close()
    await data?.release()
  }
}

/** Asks every dependency. A running server is asked how it is; without one everything is opened once and closed again. */
async function examine(config: Config): Promise<Check[]> {
  const { problems, rulebook } = buildRulebook(await readRuleFiles(config.rulesDir), [])
  const checks: Check[] = [{
    name: 'rules', ok: problems.length === 0, detail: rulebook ? `${rulebook.rules.rules.length} rules` : `${problems.length} problems`, advice: 'run: zhenhao rules check',
  }]
  const running = await holderOf(config.dataDir)
  if (running?.url !== undefined) return [...checks, ...await askServer(running.url)]
  checks.push({ name: 'port', ...await portFree(config) })
  const data = await takeDataDir(config.dataDir)
  try {
    return [...checks, ...await askStores(config, data)]
  } finally {
    await data.release()
  }
}

/** Opens each store by itself, so that one that is away hides no other. */
async function askStores(config: Config, data: DataDir): Promise<Check[]> {
  const log = createLog('silent')
  const { redisUrls } = config
  const asked: [name: string, variable: string, ask: (closers: Closers) => Promise<void>][] = [
    ['data directory', 'ZHENHAO_DATA_DIR', async (closers) => {
      if (config.tokenKey === undefined) await secretFile(data.path('token-key'))
      const journal = await openFileJournal({ dir: data.path('journal'), older: () => Promise.resolve(undefined), onFault: () => undefined })
      closers.push(() => journal.close())
    }],
    ['PostgreSQL', 'DATABASE_URL', async (closers) => { await (await openDatabase(config, data, log, closers)).pool.query('SELECT 1') }],
    ['ClickHouse', 'CLICKHOUSE_URL', async (closers) => { const history = openClickhouse(config, data, closers); await history.migrate(); await history.ping() }],
    ...(redisUrls ? [['counters', 'REDIS_URL', (closers: Closers) => askRedis(redisUrls, closers)] as [string, string, (closers: Closers) => Promise<void>]] : []),
    ['event log', 'KAFKA_BROKERS', async (closers) => { await (await openEventLog(config, log, closers)).ping() }],
  ]
  return Promise.all(asked.map(async ([name, variable, ask]): Promise<Check> => {
    const closers: Closers = []
    try {
      await ask(closers)
      return { name, ok: true, detail: 'answers' }
    } catch (fault) {
      return { name, ok: false, detail: wordsOf(fault), advice: `start it, or check ${variable}` }
    } finally {
      for (const close of closers.reverse()) await close().catch(() => undefined)
    }
  }))
}

async function askRedis(urls: readonly string[], closers: Closers): Promise<void> {
  let last: Error | undefined
  const client = await connectRedis(urls, (fault) => { last = fault }, ANSWER_MS)
  closers.push(async () => { client.disconnect(); await Promise.resolve() })
  await client.ping().catch((fault: unknown) => { throw last ?? fault })
}

async function askServer(url: string): Promise<Check[]> {
  const answer = await fetch(`${url}/readyz`).catch(() => undefined)
  if (!answer) return [{ name: 'server', ok: false, detail: `no answer at ${url}`, advice: 'it may be starting or stuck: look at its log' }]
  const { checks } = await answer.json() as { checks: Record<string, { ok: boolean; detail?: string }> }
  return [{ name: 'server', ok: answer.ok, detail: `at ${url}` }, ...Object.entries(checks).map(([name, c]) => ({ name, ok: c.ok, detail: c.detail ?? 'answers' }))]
}

function portFree({ host, port }: Config): Promise<{ ok: boolean; detail: string; advice?: string }> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.once('connect', () => { socket.destroy(); resolve({ ok: false, detail: `${host}:${port} is taken by another program`, advice: 'set PORT to a free one' }) })
    socket.once('error', () => { resolve({ ok: true, detail: `${host}:${port} is free` }) })
  })
}
