import { randomBytes } from 'node:crypto'
import { buildApp } from '../api/app.js'
import { DEFAULT_LIMITS, type ApiDeps, type Readiness } from '../api/deps.js'
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
      await data.announce({ url, controlKey, databaseUrl: runtime.embeddedDatabaseUrl })
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
  const { keeping, metrics } = runtime
  return {
    routes, engine: runtime.engine, enforcement: runtime.enforcement, audit: runtime.audit, now: Date.now, limits: DEFAULT_LIMITS, version: VERSION, log,
    findRecorded: (eventId) => keeping.findRecorded(eventId),
    policies: runtime.policies,
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
    rebuild: () => keeping.rebuild(),
    ...(keeping.doorStore ? { doorStore: keeping.doorStore } : {}),
    ...(config.trustProxy.length > 0 ? { trustProxy: [...config.trustProxy] } : {}),
  }
}

/** Without these nothing can be decided durably. What makes a process slower or blinder is said beside them. */
const NEEDED = ['journal']

function readiness(troubles: Readonly<Record<string, string | undefined>>): Readiness {
  const checks = Object.entries(troubles).map(([part, detail]) => [part, detail === undefined ? { ok: true } : { ok: false, detail }] as const)
  return { ready: NEEDED.every((part) => troubles[part] === undefined), checks: Object.fromEntries(checks) }
}
