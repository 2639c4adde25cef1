import type { FastifyInstance } from 'fastify'
import type { FieldError } from '../../domain/event.js'
import { readJsonItems, readLines } from '../bulk-body.js'
import type { ApiDeps } from '../deps.js'
import { sendProblem } from '../present-error.js'
import { processAll, type ProcessedAll } from '../process-all.js'
import type { Route } from '../route.js'
import { errors, json, ref } from '../schemas.js'
import { bodyOf } from './score.js'

export const MAX_EVENTS = 5_000
const NDJSON = 'application/x-ndjson'

interface EventsAnswer { accepted: number; duplicates: number; rejected: { index: number; event_id: string | null; status: 400 | 409 | 410; errors: FieldError[] }[] }

/** The route lives in a plugin of its own: nowhere else is NDJSON a body. */
export async function eventRoutes(root: FastifyInstance, route: Route, { engine, limits }: Pick<ApiDeps, 'engine' | 'limits'>): Promise<void> {
  await root.register((app, _options, done) => {
    app.addContentTypeParser(NDJSON, { parseAs: 'buffer' }, (_request, body, parsed) => { parsed(null, body) })
    route({
      method: 'POST', url: '/v1/events', scopes: ['score'], group: 'bulk', raw: true, bodyLimit: limits.bulkBodyBytes,
      schema: {
        operationId: 'sendEvents', tags: ['scoring'], summary: `Send up to ${MAX_EVENTS} events`,
        description: 'A JSON array, a single event, or NDJSON. Events are taken in order; requests among them are decided. '
          + 'After a 200 every later `/score` sees their effects. Idempotent by `event_id`. '
          + '`rejected[].index` counts events from 0 (empty lines are none); a refused event does not stop the others. '
          + 'With 503 a part may have been taken: repeat the whole, each event_id counts once.',
        body: { content: {
          ...json({ oneOf: [{ type: 'array', maxItems: MAX_EVENTS, items: ref('BookingEvent') }, ref('BookingEvent')] }, 'application/json').content,
          [NDJSON]: { schema: { type: 'string', description: 'one event a line' } },
        } },
        response: { 200: ref('EventsAnswer'), ...errors(400, 401, 403, 413, 415, 429, 503) },
      },
      handler: async (request, reply) => {
        const lines = request.headers['content-type']?.startsWith(NDJSON) === true
        const read = lines ? readLines(bodyOf(request.body), MAX_EVENTS) : readJsonItems(bodyOf(request.body), MAX_EVENTS, true)
        if (!read.ok) return sendProblem(reply, 'bad-request', { errors: read.errors })
        const all = await processAll(engine, read.items, false)
        return all.kind === 'overloaded' ? sendProblem(reply, 'overloaded', undefined, all.retryAfterMs) : reply.send(summary(all.results))
      },
    }, app)
    done()
  })
}

function summary(results: Extract<ProcessedAll, { kind: 'done' }>['results']): EventsAnswer {
  const answer: EventsAnswer = { accepted: 0, duplicates: 0, rejected: [] }
  for (const [index, result] of results.entries()) {
    if (result.kind === 'rejected') answer.rejected.push({ index, event_id: result.eventId ?? null, status: result.status, errors: result.errors })
    else if (result.duplicate) answer.duplicates += 1
    else answer.accepted += 1
  }
  return answer
}
