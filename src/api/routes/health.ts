import type { FastifyInstance } from 'fastify'
import type { ApiDeps } from '../deps.js'
import { PROBLEM_JSON, problem } from '../present-error.js'
import type { Route } from '../route.js'
import { ref } from '../schemas.js'

/** What machines ask to run us: alive, ready, how it goes, and what can be called. No key; nothing secret in them. */
export function healthRoutes(app: FastifyInstance, route: Route, deps: Pick<ApiDeps, 'readiness' | 'metricsText' | 'version'>): void {
  route({
    method: 'GET', url: '/healthz', scopes: 'public', group: 'review',
    schema: { operationId: 'health', tags: ['operations'], summary: 'The process is alive', response: { 200: ref('Health') } },
    handler: (_request, reply) => reply.send({ status: 'ok', version: deps.version }),
  })

  route({
    method: 'GET', url: '/readyz', scopes: 'public', group: 'review',
    schema: {
      operationId: 'readiness', tags: ['operations'], summary: 'The process can decide', description: '503 until every check is ok.',
      response: { 200: ref('Readiness'), 503: { description: 'not ready', content: { 'application/json': { schema: ref('Readiness') } } } },
    },
    handler: async (_request, reply) => {
      const { ready, checks } = await deps.readiness()
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks })
    },
  })

  route({
    method: 'GET', url: '/metrics', scopes: 'public', group: 'review',
    schema: { operationId: 'metrics', tags: ['operations'], summary: 'Prometheus metrics', response: { 200: { description: 'text format', content: { 'text/plain': { schema: { type: 'string' } } } } } },
    handler: async (_request, reply) => {
      const { contentType, body } = await deps.metricsText()
      return reply.type(contentType).send(body)
    },
  })

  route({
    method: 'GET', url: '/openapi.json', scopes: 'public', group: 'review',
    schema: { operationId: 'openapi', tags: ['operations'], summary: 'This description', response: { 200: { type: 'object', additionalProperties: true } } },
    handler: (_request, reply) => reply.send(app.swagger()),
  })

  app.setNotFoundHandler((_request, reply) => reply.code(404).type(PROBLEM_JSON).send(JSON.stringify(problem('not-found'))))
}
