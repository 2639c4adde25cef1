import type { FastifyReply } from 'fastify'
import type { FieldError } from '../../domain/event.js'
import type { ApiDeps, Policies } from '../deps.js'
import { patchFromWire, patchToWire, type WirePatch } from '../policy-wire.js'
import { sendProblem } from '../present-error.js'
import { callerOf, type Route } from '../route.js'
import { errors, params, ref } from '../schemas.js'

type PutBody = WirePatch & { expected_revision?: number }

export function policyRoutes(route: Route, { policies }: Pick<ApiDeps, 'policies'>): void {
  route<{ Params: { hospital_id: string } }>({
    method: 'GET', url: '/v1/policies/:hospital_id', scopes: ['rules'], group: 'review',
    schema: {
      operationId: 'getPolicy', tags: ['policies'], summary: 'What is in force for a hospital',
      description: '`policy` is the resolved one (platform, region, hospital, override); `override` is what people set. The ETag is the revision.',
      params: params('hospital_id'), response: { 200: ref('PolicyState'), ...errors(400, 401, 403, 429, 503) },
    },
    handler: (request, reply) => sendState(reply, policies, request.params.hospital_id),
  })

  route<{ Params: { hospital_id: string }; Body: PutBody }>({
    method: 'PUT', url: '/v1/policies/:hospital_id', scopes: ['rules'], group: 'write',
    schema: {
      operationId: 'putPolicy', tags: ['policies'], summary: 'Replace a hospital\'s override; in force at once',
      description: 'The body is the whole override: what it leaves out is inherited. `expected_revision` (or If-Match) is the revision that was read; '
        + 'another one is 409. Idempotent: the same caller repeating the same override gets 200. Audited.',
      params: params('hospital_id'), body: ref('PolicyPut'), headers: { type: 'object', properties: { 'if-match': { type: 'string' } } },
      response: { 200: ref('PolicyState'), ...errors(400, 401, 403, 409, 413, 415, 429, 503) },
    },
    handler: async (request, reply) => {
      const { hospital_id: hospitalId } = request.params
      const { expected_revision: inBody, ...wire } = request.body
      const inHeader = revisionOf(request.headers['if-match'])
      if (inHeader === 'unreadable' || (inHeader !== undefined && inBody !== undefined && inHeader !== inBody)) {
        return sendProblem(reply, 'bad-request', { errors: [{ path: '/expected_revision', message: 'and If-Match must be one and the same revision' }] })
      }
      const patch = patchFromWire(wire)
      const by = callerOf(request).id
      const result = await policies.put(hospitalId, patch, by, inBody ?? inHeader)
      if (result.kind === 'invalid') return sendProblem(reply, 'bad-request', { errors: result.errors.map(onWire) })
      const { override } = policies.of(hospitalId)
      const repeated = override?.changedBy === by && JSON.stringify(patchToWire(override.patch)) === JSON.stringify(patchToWire(patch))
      if (result.kind === 'stale' && !repeated) return sendProblem(reply, 'conflict', { detail: `The present revision is ${override?.revision ?? 0}.` })
      return sendState(reply, policies, hospitalId)
    },
  })
}

/** `/hold/forMs` is `/hold/for_ms` to the sender. */
const onWire = ({ path, message }: FieldError): FieldError => ({ path: path.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`), message })

/** If-Match: `"7"`, `W/"7"` or 7. `*` and none mean whatever is there. */
function revisionOf(ifMatch: string | undefined): number | undefined | 'unreadable' {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined
  const digits = /^(?:W\/)?"?(\d{1,9})"?$/.exec(ifMatch.trim())?.[1]
  return digits === undefined ? 'unreadable' : Number(digits)
}

function sendState(reply: FastifyReply, policies: Policies, hospitalId: string): FastifyReply {
  const { policy, version, override } = policies.of(hospitalId)
  const revision = override?.revision ?? 0
  return reply.header('etag', `"${revision}"`).send({
    hospital_id: hospitalId, policy: patchToWire(policy), override: override ? patchToWire(override.patch) : null, version, revision,
    ...(override ? { changed_by: override.changedBy, changed_at: new Date(override.changedAt).toISOString() } : {}),
  })
}
