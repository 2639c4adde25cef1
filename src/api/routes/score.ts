import type { Processed, Raw } from '../../pipeline/engine.js'
import { readJsonItems } from '../bulk-body.js'
import type { ApiDeps } from '../deps.js'
import type { Doors } from '../doors.js'
import { PROBLEM_JSON, rejectionProblem, sendProblem } from '../present-error.js'
import { processAll, type ProcessedAll } from '../process-all.js'
import type { Route } from '../route.js'
import { errors, json, ref } from '../schemas.js'

export const MAX_BATCH = 500
const NOTHING = Buffer.alloc(0)
const JSON_TYPE = 'application/json; charset=utf-8'

export const bodyOf = (body: unknown): Buffer => Buffer.isBuffer(body) ? body : NOTHING

export function scoreRoutes(route: Route, { engine, limits }: Pick<ApiDeps, 'engine' | 'limits'>, doors: Doors): void {
  async function process(raw: Raw, leave: () => void): Promise<Processed> {
    try {
      return await engine.process(raw)
    } finally {
      leave()
    }
  }

  route({
    method: 'POST', url: '/v1/score', scopes: ['score'], group: 'score', raw: true, bodyLimit: limits.scoreBodyBytes,
    schema: {
      operationId: 'score', tags: ['scoring'], summary: 'Decide one booking',
      description: 'A decision is always 200, whatever its outcome. Idempotent by `event_id`: the same event gets the same bytes. '
        + 'The same id with another body is 409; a repeat older than the memory of decisions is 410. '
        + 'Without an answer in 300 ms, or with 400, 429 or 5xx: confirm the booking and send the event on the stream.',
      body: json(ref('BookingEvent'), 'application/json', 'application/cloudevents+json'),
      response: { 200: ref('Decision'), ...errors(400, 401, 403, 409, 410, 413, 415, 429, 503) },
    },
    handler: async (request, reply) => {
      const leave = doors.score.enter()
      if (!leave) return sendProblem(reply, 'overloaded', undefined, doors.score.comeAgainMs())
      const { traceparent } = request.headers
      const result = await process({ body: bodyOf(request.body), requestOnly: true, ...(typeof traceparent === 'string' ? { traceparent } : {}) }, leave)
      switch (result.kind) {
        case 'decided': return reply.type(JSON_TYPE).send(result.bytes)
        case 'overloaded': return sendProblem(reply, 'overloaded', undefined, result.retryAfterMs)
        case 'rejected': return reply.code(result.status).type(PROBLEM_JSON).send(rejectionBytes(result))
        case 'accepted': throw new TypeError('a scored event came back without a decision')
      }
    },
  })

  route({
    method: 'POST', url: '/v1/score/batch', scopes: ['score'], group: 'bulk', raw: true, bodyLimit: limits.bulkBodyBytes,
    schema: {
      operationId: 'scoreBatch', tags: ['scoring'], summary: `Decide up to ${MAX_BATCH} bookings, in order`,
      description: 'The answer has one item per event, in order: its decision, or, where `/score` would have refused it, the problem object '
        + '(recognised by `type` and `status`). Events are taken in order; one that is refused does not stop the others. '
        + 'With 503 a part may have been decided: repeat the whole, each event_id counts once and keeps its bytes.',
      body: json({ type: 'array', maxItems: MAX_BATCH, items: ref('BookingEvent') }, 'application/json'),
      response: { 200: { type: 'array', items: { oneOf: [ref('Decision'), ref('Problem')] } }, ...errors(400, 401, 403, 413, 415, 429, 503) },
    },
    handler: async (request, reply) => {
      const read = readJsonItems(bodyOf(request.body), MAX_BATCH, false)
      if (!read.ok) return sendProblem(reply, 'bad-request', { errors: read.errors })
      const all: ProcessedAll = await processAll(engine, read.items, true)
      if (all.kind === 'overloaded') return sendProblem(reply, 'overloaded', undefined, all.retryAfterMs)
      return reply.type(JSON_TYPE).send(`[${all.results.map(itemBytes).join(',')}]`)
    },
  })
}

/** A decision's bytes are never parsed and written again: they stay as they were first given out. */
function itemBytes(result: Exclude<Processed, { kind: 'overloaded' }>): string {
  switch (result.kind) {
    case 'decided': return result.bytes
    case 'rejected': return rejectionBytes(result)
    case 'accepted': throw new TypeError('a scored event came back without a decision')
  }
}

const rejectionBytes = ({ status, errors: found }: Extract<Processed, { kind: 'rejected' }>): string => JSON.stringify(rejectionProblem(status, found))
