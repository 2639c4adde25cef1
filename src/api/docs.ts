import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { COMPONENTS } from './schemas.js'

const DESCRIPTION = 'Decides whether a hospital booking goes through before it is confirmed. Every write is idempotent: events by `event_id`, '
  + 'a hold by its id, the resolution and the caller, a policy by its revision or its content. Errors are RFC 9457 problems.'

/** Everything the page needs comes from this process, so it works offline. Swagger UI sets styles inline. */
const CSP = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

/** OpenAPI 3.1 out of the routes that follow, and a page to read it at /docs. Both are public. */
export async function describeApi(app: FastifyInstance, version: string): Promise<void> {
  for (const [name, schema] of Object.entries(COMPONENTS)) app.addSchema({ ...schema, $id: name })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Zhenhao 真号', version, description: DESCRIPTION },
      tags: ['scoring', 'decisions', 'holds', 'policies', 'operations'].map((name) => ({ name })),
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API key; the list says which scopes may call.' } } },
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => typeof schema['$id'] === 'string' ? schema['$id'] : `def-${i}` },
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: CSP, uiConfig: { docExpansion: 'list', deepLinking: true } })
}
