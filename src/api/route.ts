import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteGenericInterface, RouteHandlerMethod } from 'fastify'
import type { RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify'
import type { Caller, Scope } from '../domain/access.js'
import { refusalOf, type Authentication, type Authenticator, type Known } from './auth.js'
import type { Doors, Group, Wait } from './doors.js'
import { sendProblem } from './present-error.js'

/** Who may call: anybody, or a key with one of these scopes. */
export type Access = 'public' | readonly [Scope, ...Scope[]]

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** The handler gets the body's bytes as they came. */
    raw?: boolean
    /** Good answers are so many that they are logged at debug only. */
    quiet?: boolean
    /** @fastify/under-pressure: what to do instead of shedding. */
    pressureHandler?: () => void
  }
  interface FastifyRequest { caller: Caller | null }
  interface FastifyInstance { routeTable: { method: string; url: string; access: Access }[] }
}

interface RouteSpec<R extends RouteGenericInterface> {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Find-my-way pattern, with CONTRACT's parameter names: `/v1/holds/:hold_id`. */
  url: string
  scopes: Access
  group: Group
  raw?: boolean
  bodyLimit?: number
  schema: FastifySchema
  handler: RouteHandlerMethod<RawServerDefault, RawRequestDefaultExpression, RawReplyDefaultExpression, R>
}

export type Route = <R extends RouteGenericInterface>(spec: RouteSpec<R>, app?: FastifyInstance) => void

const SHED_RETRY_MS = 1_000
/** What a call costs beside its body: an empty one takes room too. */
const LEAST_BODY_BYTES = 64 * 1024
const ACCEPT_ALL = () => () => true

/**
 * The only way to add a route: it cannot be written without saying who may call it. Anything that reaches Fastify by
 * another way is refused when it is registered.
 */
export function createRoute(root: FastifyInstance, gate: (scopes: readonly Scope[], group: Group) => Hook): Route {
  root.decorate('routeTable', [])
  root.addHook('onRoute', (options) => {
    if (options.config?.access === undefined) throw new Error(`route ${String(options.method)} ${options.url} does not say who may call it`)
  })
  return (spec, app = root) => {
    const { method, url, scopes: access, group, raw = false, schema } = spec
    const open = access === 'public'
    app.route({
      method, url, handler: spec.handler,
      ...(spec.bodyLimit === undefined ? {} : { bodyLimit: spec.bodyLimit }),
      ...(raw ? { validatorCompiler: ACCEPT_ALL } : {}),
      // Health and metrics must answer most of all when the process is in trouble.
      config: { access, raw, quiet: group === 'score' || open, ...(open ? { pressureHandler: () => undefined } : {}) },
      schema: { ...schema, security: open ? [] : [{ bearer: access }] },
      onRequest: open ? [] : gate(access, group),
    })
    root.routeTable.push({ method, url, access })
  }
}

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** What stands before every handler but the public ones, cheapest first: key, address, scope, hospital, rate. */
export function createGate({ authenticator, doors }: { authenticator: Authenticator; doors: Doors }): (scopes: readonly Scope[], group: Group) => Hook {
  return (scopes, group) => async (request, reply) => {
    const { authorization } = request.headers
    const found = authenticator.recent(authorization) ?? await authenticator.ask(authorization, request.ip)
    if (found.kind !== 'known') return refuse(reply, found)
    const { credential } = found
    const refusal = refusalOf(credential, scopes, () => request.ip, (request.params as { hospital_id?: string }).hospital_id)
    if (refusal !== undefined) return sendProblem(reply, 'forbidden', { detail: refusal })
    request.caller = credential.caller
    const wait = await doors.take(group, credential.caller.id)
    if (wait) return tooMany(reply, group, wait)
    return group === 'bulk' ? takeRoom(doors, request, reply) : undefined
  }
}

/** Bulk bodies may be large: their room is taken before they are read and kept until the socket is done with the answer. */
function takeRoom(doors: Doors, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  const { bodyLimit } = request.routeOptions
  // A body without a length may become as long as any.
  const announced = Number(request.headers['content-length'] ?? bodyLimit)
  const bytes = Math.min(Math.max(announced, LEAST_BODY_BYTES), bodyLimit)
  if (!doors.bulk.enter(bytes)) return sendProblem(reply, 'overloaded', undefined, SHED_RETRY_MS)
  reply.raw.once('close', () => { doors.bulk.leave(bytes) })
  return undefined
}

function refuse(reply: FastifyReply, refusal: Exclude<Authentication, Known>): FastifyReply {
  if (refusal.kind === 'blocked') return tooMany(reply, 'unauthenticated', refusal.wait)
  reply.header('www-authenticate', refusal.kind === 'missing' ? 'Bearer' : 'Bearer error="invalid_token"')
  return sendProblem(reply, 'unauthenticated')
}

/** RateLimit fields as in the IETF draft: q calls per w seconds, r left, t seconds to go. */
function tooMany(reply: FastifyReply, policy: string, wait: Wait): FastifyReply {
  reply.header('ratelimit-policy', `"${policy}";q=${wait.limit};w=${wait.windowS}`)
  reply.header('ratelimit', `"${policy}";r=0;t=${Math.ceil(wait.retryAfterMs / 1_000)}`)
  return sendProblem(reply, 'too-many-requests', undefined, wait.retryAfterMs)
}

/** The caller of a route with scopes: the gate has set it. */
export function callerOf(request: FastifyRequest): Caller {
  if (!request.caller) throw new TypeError('a route without a gate asked for its caller')
  return request.caller
}
