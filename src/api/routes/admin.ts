import type { FastifyInstance } from 'fastify'
import { readLines } from '../bulk-body.js'
import type { ApiDeps } from '../deps.js'
import { sendProblem } from '../present-error.js'
import { processAll } from '../process-all.js'
import type { Route } from '../route.js'
import { errors, json } from '../schemas.js'
import { MAX_EVENTS } from './events.js'
import { bodyOf } from './score.js'

const NDJSON = 'application/x-ndjson'

/** What `zhenhao replay --record` and `zhenhao rebuild` ask of a server that holds the data directory. */
export async function adminRoutes(root: FastifyInstance, route: Route, { backfill, rebuild, limits }: Pick<ApiDeps, 'backfill' | 'rebuild' | 'limits'>): Promise<void> {
  await root.register((app, _options, done) => {
    app.addContentTypeParser(NDJSON, { parseAs: 'buffer' }, (_request, body, parsed) => { parsed(null, body) })
    route({
      method: 'POST', url: '/v1/admin/backfill', scopes: ['keys'], group: 'bulk', raw: true, bodyLimit: limits.bulkBodyBytes,
      schema: {
        operationId: 'backfill', tags: ['administration'], summary: `Bring in up to ${MAX_EVENTS} past events, of any age`,
        description: 'Counted and recorded; no hold, message or callback comes of it. Idempotent by `event_id`.',
        body: { content: { [NDJSON]: { schema: { type: 'string', description: 'one event a line' } } } },
        response: { 200: { type: 'object', properties: { results: { type: 'array', items: { type: 'object' } } } }, ...errors(400, 401, 403, 413, 415, 429, 503) },
      },
      handler: async (request, reply) => {
        const read = readLines(bodyOf(request.body), MAX_EVENTS)
        if (!read.ok) return sendProblem(reply, 'bad-request', { errors: read.errors })
        const all = await processAll({ process: ({ body }) => backfill(body) }, read.items, false)
        return all.kind === 'overloaded' ? sendProblem(reply, 'overloaded', undefined, all.retryAfterMs) : reply.send({ results: all.results })
      },
    }, app)
    done()
  })

  route({
    method: 'POST', url: '/v1/admin/rebuild', scopes: ['keys'], group: 'write',
    schema: {
      operationId: 'rebuild', tags: ['administration'], summary: 'Count all recorded events again', description: 'Scoring goes on meanwhile; the new counters take over at once when they have caught up.',
      body: json({ type: 'object' }, 'application/json'),
      response: { 200: { type: 'object', properties: { events: { type: 'integer' } } }, ...errors(401, 403, 415, 429, 503) },
    },
    handler: async (_request, reply) => reply.send({ events: await rebuild() }),
  })
}
