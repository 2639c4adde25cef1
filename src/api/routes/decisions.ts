import { SCOPES_OF } from '../../domain/access.js'
import type { ApiDeps } from '../deps.js'
import { sendProblem } from '../present-error.js'
import { callerOf, type Route } from '../route.js'
import { errors, params, ref } from '../schemas.js'

export function decisionRoutes(route: Route, { findRecorded }: Pick<ApiDeps, 'findRecorded'>): void {
  route<{ Params: { event_id: string } }>({
    method: 'GET', url: '/v1/decisions/:event_id', scopes: ['score', 'review'], group: 'review',
    schema: {
      operationId: 'getDecision', tags: ['decisions'], summary: 'A decision, by its event',
      description: 'The booking core gets the bytes that were given out. With the scope `review` there is a `review` besides: rule hits with value, '
        + 'operator and threshold, shadow hits, the features, and what the outcome would be under `enforce`.',
      params: params('event_id'),
      response: { 200: { oneOf: [ref('Decision'), ref('ReviewedDecision')] }, ...errors(400, 401, 403, 404, 429, 503) },
    },
    handler: async (request, reply) => {
      const recorded = await findRecorded(request.params.event_id)
      if (recorded?.decision === undefined) return sendProblem(reply, 'not-found', { detail: 'No decision was made for this event_id.' })
      reply.type('application/json; charset=utf-8')
      const reviewer = SCOPES_OF[callerOf(request).role].includes('review')
      return reply.send(reviewer && recorded.review ? withReview(recorded.decision, recorded.review) : recorded.decision)
    },
  })
}

/** Adds one member to a JSON object without touching the bytes before it. */
const withReview = (decision: string, review: unknown): string => `${decision.slice(0, -1)},"review":${JSON.stringify(review)}}`
