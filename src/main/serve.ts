import { randomBytes } from 'node:crypto'
import { buildApp } from '../api/app.js'
import { DEFAULT_LIMITS, type ApiDeps, type Policies, type Readiness } from '../api/deps.js'
import { DataDirTaken, takeDataDir } from '../adapters/file/data-dir.js'
import { createLog, type Logger } from '../adapters/pino/log.js'
import { EXIT, type ExitCode, type Io } from '../cli/io.js'
import type { ServeOptions } from '../cli/serve.js'
import { VERSION } from '../cli/version.js'
import type { Config } from '../config.js'
import { writeBanner } from './banner.js'
import { demoKeys, hashSecret } from './identity.js'
import { startRuntime, type Runtime } from './runtime.js'

/** A shutdown that takes longer than this is cut off: everything that matters is durable already. */
const SHUTDOWN_MS = 18_000

/** Runs until a signal ends it. Resolves with the exit code. */
export async function serve(config: Config, io: Io, options: ServeOptions): Promise<ExitCode> {
  const log = createLog(config.logLevel)
  const data = await takeDataDir(config.dataDir).catch((fault: unknown) => {
    if (fault instanceof DataDirTaken) throw new Error(`${fault.message}; stop it, or set ZHENHAO_DATA_DIR to another directory`)
    throw fault
  })
  try {
    const runtime = await startRuntime(config, data, log, { stream: options.roles.includes('stream') })
    const controlKey = randomBytes(32).toString('base64url')
    const app = await buildApp(apiDeps(config, runtime, log, hashSecret(controlKey), options.roles.includes('api') ? 'all' : 'health'))
    const end = async (): Promise<void> => {
      await app.close()
      await runtime.stop()
    }
    try {
      const demo = config.demoKeys ? await demoKeys(data.path('demo-keys.json'), runtime.access, Date.now()) : undefined
      const url = await app.listen({ host: config.host, port: config.port }).catch(refusedPort)
      await data.announce({ url, controlKey, databaseUrl: runtime.stores.embeddedDatabaseUrl })
      log.info({ address: url, version: VERSION }, 'ready')
      writeBanner(io, { url, dataDir: config.dataDir, demo })
    } catch (fault) {
      // What runs already would keep a process alive that serves nobody.
      await end()
      throw fault
    }
    const signal = await nextSignal()
    log.info({ signal }, 'shutting down')
    const cutOff = setTimeout(() => { log.error({}, 'the shutdown took too long and is cut off'); process.exit(EXIT.failed) }, SHUTDOWN_MS)
    await end()
    clearTimeout(cutOff)
    return EXIT.done
  } finally {
    await data.release()
  }
}

function refusedPort(fault: unknown): never {
  throw new Error('no address to listen on: set PORT (and HOST) to a free one', { cause: fault })
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { resolve(signal) })
  })
}

function apiDeps(config: Config, runtime: Runtime, log: Logger, controlHash: string, routes: ApiDeps['routes']): ApiDeps {
  const { stores, metrics } = runtime
  return {
    routes, engine: runtime.engine, enforcement: runtime.enforcement, audit: runtime.audit, now: Date.now, limits: DEFAULT_LIMITS, version: VERSION, log,
    findRecorded: (eventId) => stores.journal.find(eventId) ?? stores.history.find(eventId),
    policies: policiesOf(runtime),
    access: {
      authenticate: (secret) => {
        const secretHash = hashSecret(secret)
        // Other commands of this machine's owner: the key stands in a file that only they can read.
        if (secretHash === controlHash) return Promise.resolve({ keyId: 'command-line', secretHash, role: 'admin', createdAt: 0 })
        return runtime.access.findByHash(secretHash)
      },
    },
    readiness: async () => readiness(await runtime.troubles()),
    metricsText: () => metrics.text(),
    observe: (route, status, seconds) => {
      metrics.http.observe({ route, status: String(status) }, seconds)
      if (status >= 400 && (route.startsWith('/v1/score') || route === '/v1/events')) metrics.turnedAway.inc({ status: String(status) })
    },
    backfill: (body) => runtime.engine.process({ body, backfill: true }),
    rebuild: () => runtime.rebuild(),
    ...(config.trustProxy.length > 0 ? { trustProxy: [...config.trustProxy] } : {}),
  }
}

/** Only what stops deciding makes a process not ready; what makes it slower or blinder is said beside it. */
function readiness(troubles: Record<string, string>): Readiness {
  const parts = ['journal', 'postgres', 'history', 'stream']
  return { ready: troubles['journal'] === undefined, checks: Object.fromEntries(parts.map((part) => { const detail = troubles[part]; return [part, detail === undefined ? { ok: true } : { ok: false, detail }] })) }
}

function policiesOf(runtime: Runtime): Policies {
  const { policyStore } = runtime
  const overrides = new Map<string, NonNullable<Awaited<ReturnType<typeof policyStore.get>>>>()
  const loaded = policyStore.all().then((all) => { for (const stored of all) overrides.set(stored.hospitalId, stored) })
  return {
    of(hospitalId) {
      const override = overrides.get(hospitalId)
      return { ...runtime.rulebook().policies.of(hospitalId), ...(override ? { override } : {}) }
    },
    async put(hospitalId, patch, by, expectedRevision) {
      await loaded
      const { errors } = runtime.rulebook().policies.check(hospitalId, patch)
      if (errors.length > 0) return { kind: 'invalid', errors }
      const stored = await policyStore.put(hospitalId, patch, by, Date.now(), expectedRevision)
      if (!stored) return { kind: 'stale' }
      overrides.set(hospitalId, stored)
      const rulebook = runtime.rulebook()
      runtime.replaceRulebook({ ...rulebook, policies: rulebook.policies.with(stored) })
      return { kind: 'saved' }
    },
  }
}

