import underPressure from '@fastify/under-pressure'
import fastify, { LogController, type FastifyError, type FastifyInstance } from 'fastify'
import { createAnswerLog } from './answer-log.js'
import { createAuthenticator } from './auth.js'
import type { ApiDeps } from './deps.js'
import { describeApi } from './docs.js'
import { createDoors } from './doors.js'
import { createFrontDoor, SCORE_PATH } from './front-door.js'
import { BadInput, presentError, sendProblem } from './present-error.js'
import { createGate, createRoute } from './route.js'
import { adminRoutes } from './routes/admin.js'
import { decisionRoutes } from './routes/decisions.js'
import { eventRoutes } from './routes/events.js'
import { healthRoutes } from './routes/health.js'
import { holdRoutes } from './routes/holds.js'
import { policyRoutes } from './routes/policies.js'
import { scoreRoutes } from './routes/score.js'

/** For main's pino: nothing of ours logs these, and a vendor's line about a request must not either. */
export const REDACTED = ['authorization', 'headers', 'body', 'url', '*.authorization', '*.headers', '*.body', '*.url', '*.rawHeaders', 'req.headers.authorization']

const SMALL_BODY_BYTES = 64 * 1024
/** An event_id of 128 characters of four bytes, each percent-encoded. */
const MAX_PARAM_CHARS = 128 * 12
/** A body has to arrive in this time: slow senders do not keep seats. */
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 72_000
/** Long enough that one pause (a collection, a cold start) is no overload. */
const LOOP_SAMPLE_MS = 1_000

/** The HTTP API as a value: not listening yet. `close()` takes no new connections and finishes what is in flight. */
export async function buildApp(deps: ApiDeps): Promise<FastifyInstance> {
  const { limits } = deps
  const answers = createAnswerLog(deps)
  const doors = createDoors(limits, deps.now, deps.doorStore)
  const serverFactory = createFrontDoor({
    seats: doors.score, requestTimeoutMs: REQUEST_TIMEOUT_MS, keepAliveMs: KEEP_ALIVE_MS, onRefused: () => {
      answers.refused(SCORE_PATH, 503)
      deps.observe(SCORE_PATH, 503, 0)
    },
  })
  const app = fastify({
    serverFactory,
    loggerInstance: deps.log, logController: new LogController({ disableRequestLogging: true }),
    trustProxy: deps.trustProxy ?? false, bodyLimit: SMALL_BODY_BYTES,
    return503OnClosing: false, routerOptions: { maxParamLength: MAX_PARAM_CHARS },
    // Bodies are taken as they are or refused: nothing is coerced, filled in or dropped.
    ajv: { customOptions: { coerceTypes: false, useDefaults: false, removeAdditional: false, allErrors: true, allowUnionTypes: true } },
    frameworkErrors: (_error, _request, reply) => { sendProblem(reply, 'not-found') },
  })
  // One logger for all: a child per request costs more than the line it would print.
  app.setChildLoggerFactory((logger) => logger)
  app.setErrorHandler((error: FastifyError, request, reply) => presentError(error, reply, () => { answers.failed(error, request) }))
  // Schemas of answers describe them; they do not filter them.
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
  app.decorateRequest('caller', null)
  takeBytes(app)

  if (limits.eventLoopDelayMs > 0) await app.register(underPressure, { maxEventLoopDelay: limits.eventLoopDelayMs, sampleInterval: LOOP_SAMPLE_MS, retryAfter: 1 })
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) sendProblem(reply, 'not-found')
    else done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    answers.answered(request, reply)
    deps.observe(request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime / 1_000)
    done()
  })
  endIdleConnections(app)

  await describeApi(app, deps.version)
  const authenticator = createAuthenticator({ access: deps.access, doors, now: deps.now, cacheMs: limits.keyCacheMs })
  const route = createRoute(app, createGate({ authenticator, doors }))
  healthRoutes(app, route, deps)
  if (deps.routes === 'health') return app
  scoreRoutes(route, deps, doors)
  await eventRoutes(app, route, deps)
  decisionRoutes(route, deps)
  holdRoutes(route, deps)
  policyRoutes(route, deps)
  await adminRoutes(app, route, deps)
  return app
}

/** JSON bodies: the bytes themselves where the engine decodes, a parsed value elsewhere. Any other type is 415. */
function takeBytes(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(['application/json', 'application/cloudevents+json'], { parseAs: 'buffer' }, (request, body, done) => {
    if (request.routeOptions.config.raw) { done(null, body); return }
    try {
      done(null, JSON.parse(body.toString()))
    } catch {
      done(new BadInput([{ path: '', message: 'is no JSON' }]))
    }
  })
}

/** Node closes the connections that are idle when it is told to; one that falls idle later would hold `close()` up for its keep-alive time. */
function endIdleConnections(app: FastifyInstance): void {
  let closing = false
  app.addHook('preClose', (done) => {
    closing = true
    done()
  })
  app.addHook('onResponse', (_request, _reply, done) => {
    if (closing) setImmediate(() => { app.server.closeIdleConnections() })
    done()
  })
}
