import type { FastifyReply, FastifyRequest } from 'fastify'
import { SCOPES_OF } from '../../domain/access.js'
import { HOLD_STATUSES, type HoldAction, type HoldState, type HoldStatus } from '../../domain/hold.js'
import type { OnExpiry } from '../../domain/decision.js'
import type { ApiDeps } from '../deps.js'
import { sendProblem } from '../present-error.js'
import { callerOf, type Route } from '../route.js'
import { errors, idText, params, ref } from '../schemas.js'

interface HoldView {
  hold_id: string; event_id: string; order_id: string; status: HoldStatus
  placed_at: string; expires_at: string; on_expiry: OnExpiry
  resolved_at?: string; action?: HoldAction
  /** Below: for people with the scope `review` only. */
  hospital_id?: string; schedule_id?: string; resolved_by?: string; reason?: string
}

const PAGE = { default: 50, max: 200 }
/** A free text ends in a store: what looks like an ID number or a mobile number does not belong in it. */
/** A reason is words: no control characters (PostgreSQL cannot store NUL), no identity. */
const CONTROL = /\p{Cc}/u
const IDENTITY = /\d{15}|(?<!\d)1[3-9]\d{9}(?!\d)/
type Deps = Pick<ApiDeps, 'enforcement' | 'audit' | 'now'>
type Resolve = FastifyRequest<{ Params: { hold_id: string }; Body: { reason: string } }>

export function holdRoutes(route: Route, deps: Deps): void {
  const { enforcement } = deps

  route<{ Querystring: { status?: HoldStatus; hospital_id?: string; limit?: string; cursor?: string } }>({
    method: 'GET', url: '/v1/holds', scopes: ['review'], group: 'review',
    schema: {
      operationId: 'listHolds', tags: ['holds'], summary: 'Holds, newest first',
      querystring: {
        type: 'object', additionalProperties: false,
        properties: {
          status: { enum: HOLD_STATUSES }, hospital_id: idText,
          limit: { type: 'string', pattern: '^([1-9]|[1-9][0-9]|1[0-9][0-9]|200)$', description: `1 to ${PAGE.max}; ${PAGE.default} without` },
          cursor: { type: 'string', minLength: 1, maxLength: 512, description: '`next_cursor` of the page before' },
        },
      },
      response: { 200: ref('HoldPage'), ...errors(400, 401, 403, 429, 503) },
    },
    handler: async (request) => {
      const { status, hospital_id: hospitalId, limit, cursor } = request.query
      const page = await enforcement.list({
        limit: limit === undefined ? PAGE.default : Number(limit),
        ...(status === undefined ? {} : { status }), ...(hospitalId === undefined ? {} : { hospitalId }), ...(cursor === undefined ? {} : { cursor }),
      })
      return { items: page.items.map((hold) => view(hold, true)), next_cursor: page.nextCursor ?? null }
    },
  })

  route<{ Params: { hold_id: string } }>({
    method: 'GET', url: '/v1/holds/:hold_id', scopes: ['score', 'review'], group: 'review',
    schema: {
      operationId: 'getHold', tags: ['holds'], summary: 'One hold as it stands', params: params('hold_id'),
      response: { 200: ref('Hold'), ...errors(400, 401, 403, 404, 429, 503) },
    },
    handler: async (request, reply) => {
      const hold = await enforcement.get(request.params.hold_id)
      if (!hold) return unknownHold(reply)
      return reply.send(view(hold, SCOPES_OF[callerOf(request).role].includes('review')))
    },
  })

  for (const [verb, to] of [['release', 'released'], ['reject', 'rejected']] as const) {
    route<{ Params: { hold_id: string }; Body: { reason: string } }>({
      method: 'POST', url: `/v1/holds/:hold_id/${verb}`, scopes: ['review'], group: 'write',
      schema: {
        operationId: `${verb}Hold`, tags: ['holds'],
        summary: verb === 'release' ? 'Give the booking to the patient' : 'Give the slot back to the pool',
        description: 'Idempotent: the same caller may repeat it. A hold that ended otherwise, or by somebody else, is 409 with its state in `hold`.',
        params: params('hold_id'), body: ref('Resolve'),
        response: { 200: ref('Hold'), ...errors(400, 401, 403, 404, 409, 413, 415, 429, 503) },
      },
      handler: (request, reply) => resolve(deps, to, request, reply),
    })
  }
}

async function resolve({ enforcement, audit, now }: Deps, to: 'released' | 'rejected', request: Resolve, reply: FastifyReply): Promise<FastifyReply> {
  const { hold_id: holdId } = request.params
  const { reason } = request.body
  if (CONTROL.test(reason)) return sendProblem(reply, 'bad-request', { errors: [{ path: '/reason', message: 'one line of plain words is expected' }] })
  if (IDENTITY.test(reason)) return sendProblem(reply, 'bad-request', { errors: [{ path: '/reason', message: 'must not hold an ID or phone number' }] })
  const by = callerOf(request).id
  const at = now()
  const result = await enforcement.resolve(holdId, to, by, reason, at)
  switch (result.kind) {
    case 'unknown': return unknownHold(reply)
    case 'already': return sendProblem(reply, 'conflict', { detail: `The hold is ${result.hold.status}.`, hold: view(result.hold, true) })
    case 'resolved':
      await audit.append({ at, by, action: `hold.${to}`, subject: holdId, detail: { reason } })
      return reply.send(view(result.hold, true))
  }
}

const unknownHold = (reply: FastifyReply): FastifyReply => sendProblem(reply, 'not-found', { detail: 'There is no such hold.' })
const iso = (ms: number): string => new Date(ms).toISOString()

/** The booking core's own view says what to do with the order, not who decided it and why. */
function view(hold: HoldState, forReview: boolean): HoldView {
  const { resolvedAt, action, resolvedBy, reason } = hold
  return {
    hold_id: hold.holdId, event_id: hold.eventId, order_id: hold.orderId, status: hold.status,
    placed_at: iso(hold.placedAt), expires_at: iso(hold.expiresAt), on_expiry: hold.onExpiry,
    ...(resolvedAt === undefined ? {} : { resolved_at: iso(resolvedAt) }), ...(action === undefined ? {} : { action }),
    ...(forReview ? { hospital_id: hold.hospitalId, schedule_id: hold.scheduleId } : {}),
    ...(forReview && resolvedBy !== undefined ? { resolved_by: resolvedBy } : {}), ...(forReview && reason !== undefined ? { reason } : {}),
  }
}
