import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { createWorld, request, type World } from './support.js'

type Operation = { security?: Record<string, string[]>[]; responses: Record<string, { content?: Record<string, { schema: object }> }>; requestBody?: { content: Record<string, unknown> } }
interface Document { openapi: string; paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, object>; securitySchemes: Record<string, unknown> } }

const read = async (world: World): Promise<Document> => (await world.call('GET', '/openapi.json')).json<Document>()

describe('/openapi.json', () => {
  it('is OpenAPI 3.1 with a bearer scheme and names every route with its scopes', async () => {
    const world = await createWorld()
    const document = await read(world)
    expect(document.openapi).toMatch(/^3\.1\./)
    expect(document.components.securitySchemes).toMatchObject({ bearer: { type: 'http', scheme: 'bearer' } })
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { security }]) => [`${method.toUpperCase()} ${path}`, security?.[0]?.['bearer'] ?? 'public']))
    const registered = world.app.routeTable.map(({ method, url, access }) => [`${method} ${url.replace(/:(\w+)/g, '{$1}')}`, access])
    expect(Object.fromEntries(described)).toEqual(Object.fromEntries(registered))
    expect(described).toHaveLength(registered.length)
  })

  it('describes the event, in JSON and NDJSON, and leaves no reference open', async () => {
    const document = await read(await createWorld())
    expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(['BookingEvent', 'Decision', 'Problem', 'Hold', 'PolicyState']))
    expect(JSON.stringify(document.components.schemas['BookingEvent'])).toContain('id_number')
    expect(Object.keys(document.paths['/v1/events']?.['post']?.requestBody?.content ?? {})).toEqual(['application/json', 'application/x-ndjson'])
    for (const [, name] of JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)) {
      expect(Object.keys(document.components.schemas).map((key) => `#/components/schemas/${key}`)).toContain(name)
    }
  })

  it('real answers are as described', async () => {
    const world = await createWorld()
    const document = await read(world)
    const ajv = new Ajv2020({ strict: false, allErrors: true })
    addFormats.default(ajv)
    ajv.addSchema({ ...document, $id: 'api' })
    const validator = (method: string, path: string, status: number, type: string): ValidateFunction => {
      const schema = document.paths[path]?.[method.toLowerCase()]?.responses[String(status)]?.content?.[type]?.schema
      if (!schema) throw new Error(`${method} ${path} ${status} ${type} is not described`)
      return ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/')) as object)
    }
    const check = async (path: string, status: number, ...[method, url, role, body, headers]: Parameters<World['call']>): Promise<void> => {
      const answer = await world.call(method, url, role, body, headers)
      expect(answer.statusCode, url).toBe(status)
      const validate = validator(method, path, status, String(answer.headers['content-type']).split(';')[0] ?? '')
      expect(validate(answer.json()), `${method} ${url}: ${JSON.stringify(validate.errors)}`).toBe(true)
    }
    await check('/v1/score', 200, 'POST', '/v1/score', 'booking_core', request('e-1'))
    await check('/v1/score', 400, 'POST', '/v1/score', 'booking_core', {})
    await check('/v1/score', 401, 'POST', '/v1/score', undefined, {})
    await check('/v1/score', 403, 'POST', '/v1/score', 'reviewer', {})
    await check('/v1/score', 415, 'POST', '/v1/score', 'booking_core', '{}', { 'content-type': 'text/plain' })
    await check('/v1/score/batch', 200, 'POST', '/v1/score/batch', 'booking_core', [request('e-1'), {}])
    await check('/v1/events', 200, 'POST', '/v1/events', 'booking_core', [request('e-1'), {}])
    await check('/v1/decisions/{event_id}', 200, 'GET', '/v1/decisions/e-1', 'booking_core')
    await check('/v1/decisions/{event_id}', 404, 'GET', '/v1/decisions/e-9', 'booking_core')
    const reviewed = (await world.call('GET', '/v1/decisions/e-1', 'reviewer')).json<unknown>()
    expect(ajv.validate({ $ref: 'api#/components/schemas/ReviewedDecision' }, reviewed), JSON.stringify(ajv.errors)).toBe(true)
    await check('/v1/holds', 200, 'GET', '/v1/holds', 'reviewer')
    await check('/v1/holds/{hold_id}/release', 200, 'POST', '/v1/holds/a/release', 'reviewer', { reason: 'x' })
    await check('/v1/holds/{hold_id}/reject', 409, 'POST', '/v1/holds/a/reject', 'reviewer', { reason: 'x' })
    await check('/v1/holds/{hold_id}', 200, 'GET', '/v1/holds/a', 'booking_core')
    await check('/v1/policies/{hospital_id}', 200, 'GET', '/v1/policies/h-007', 'risk_lead')
    await check('/v1/policies/{hospital_id}', 200, 'PUT', '/v1/policies/h-007', 'risk_lead', { enforcement: 'enforce' })
    await check('/healthz', 200, 'GET', '/healthz')
    await check('/readyz', 200, 'GET', '/readyz')
    world.ready.ready = false
    await check('/readyz', 503, 'GET', '/readyz')
  })
})

describe('what runs us', () => {
  it('/docs is a page whose parts all come from here', async () => {
    const { call } = await createWorld()
    const page = await call('GET', '/docs')
    expect([page.statusCode, page.headers['content-type']]).toMatchObject([200, expect.stringContaining('text/html')])
    expect(page.body).not.toMatch(/(src|href)="https?:/)
    expect(page.headers['content-security-policy']).toContain("default-src 'self'")
    for (const [, part] of page.body.matchAll(/(?:src|href)="\.?\/?([^"#]+)"/g)) {
      const path = (part ?? '').startsWith('docs/') ? `/${part}` : `/docs/${part}`
      expect((await call('GET', path)).statusCode, path).toBe(200)
    }
  })

  it('/readyz names what is missing with 503, /metrics is text', async () => {
    const { call, ready } = await createWorld()
    ready.ready = false
    ready.checks['velocity'] = { ok: false, detail: 'rebuilding' }
    const answer = await call('GET', '/readyz')
    expect([answer.statusCode, answer.json<unknown>()]).toEqual([503, { status: 'not_ready', checks: { journal: { ok: true }, velocity: { ok: false, detail: 'rebuilding' } } }])
    expect((await call('GET', '/metrics')).headers['content-type']).toContain('text/plain; version=0.0.4')
  })

  it.each([['GET', '/v1/nowhere'], ['POST', '/v1/nowhere'], ['PUT', '/v1/score'], ['GET', '/v1/decisions/%zz']] as const)('%s %s is 404 as a problem, with or without a key or a sound body', async (method, url) => {
    const { call } = await createWorld()
    for (const body of [undefined, '{', {}]) {
      const answer = await call(method, url, body === undefined ? undefined : 'admin', body)
      expect([answer.statusCode, answer.headers['content-type']]).toEqual([404, 'application/problem+json; charset=utf-8'])
    }
  })

  it('counts each answer under its pattern, and logs no URL', async () => {
    const { call, observed, logged } = await createWorld()
    await call('GET', '/v1/holds/a?x=hidden', 'reviewer')
    await call('GET', '/v1/hidden')
    expect(observed).toEqual([['/v1/holds/:hold_id', 200], ['unknown', 404]])
    expect(logged()).toContain('"by":"k-reviewer"')
    expect(logged()).not.toContain('hidden')
  })

  it('a thousand refusals in a second are one line in the log, and all are counted', async () => {
    const { call, clock, engine, observed, logged } = await createWorld()
    engine.answer = () => Promise.reject(new Error('away'))
    for (let i = 0; i < 20; i++) await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect([logged().match(/"answered"/g), logged().match(/a call failed/g), observed.length]).toMatchObject([{ length: 1 }, { length: 1 }, 20])
    clock.now += 1_000
    await call('POST', '/v1/score', 'booking_core', request('e-1'))
    expect(logged()).toContain('"omitted":19')
  })
})
