import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTracing } from '../../src/adapters/otel/tracing.js'
import { tracedEngine, tracedRecorder, tracedVelocity } from '../../src/main/traced.js'
import { morning, MORNING_OVER_MS } from '../fixtures/morning.js'
import { liveEngine, shippedRulebook } from '../support/engine.js'

interface Span { traceId: string; spanId: string; parentSpanId?: string; name: string; attributes: { key: string; value: { stringValue?: string } }[]; status: { code?: number; message?: string } }
interface Export { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }

const PARENT = '0af7651916cd43dd8448eb211c80319c'
const texts: string[] = []
const collector = createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => { texts.push(text); response.end('{}') })
})
let endpoint = ''
beforeAll(async () => {
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
})
afterAll(() => { collector.close() })

const spansOf = (all: readonly string[]): Span[] => all.flatMap((text) => (JSON.parse(text) as Export).resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans)))

describe('traces', () => {
  it('show what became of an event below its caller\'s span, its trips and faults inside, and nobody\'s data', async () => {
    const tracing = startTracing({ endpoint, version: 'test', ratio: 0 })
    const { engine, velocity } = await liveEngine(await shippedRulebook(), MORNING_OVER_MS)
    const [event] = morning().filter((e) => e.type === 'booking.requested')
    if (!event) throw new Error('the morning has no request')
    const remote = tracedVelocity({ incomplete: false, run: (exchange) => Promise.resolve().then(() => velocity.run(exchange)) }, tracing)
    const recorder = tracedRecorder({ find: () => undefined, record: () => Promise.reject(new Error('secret words of a store')), pending: 0, fault: undefined }, tracing)
    const around = tracedEngine({
      process: async (raw) => {
        await remote.run((function* () { yield [] })())
        await recorder.record({ acceptedAt: 0, bodyHash: '', event: { eventId: 'e', type: 'booking.paid', occurredAt: 0 } }, undefined).catch(() => undefined)
        return engine.process(raw)
      },
    }, tracing)
    const done = await around.process({ body: { json: event }, traceparent: `00-${PARENT}-b7ad6b7169203331-01` })
    await around.process({ body: { json: morning()[0] } })
    await tracing.stop()

    const spans = spansOf(texts)
    const whole = spans.find((s) => s.name === 'process event')
    // With a ratio of 0 only the event whose caller is traced has spans.
    expect(spans.map((s) => s.name).sort()).toEqual(['process event', 'record', 'velocity'])
    expect(whole).toMatchObject({ traceId: PARENT, parentSpanId: 'b7ad6b7169203331' })
    expect(spans.filter((s) => s !== whole).map((s) => [s.traceId, s.parentSpanId])).toEqual([[PARENT, whole?.spanId], [PARENT, whole?.spanId]])
    expect(whole?.attributes.find((a) => a.key === 'zhenhao.outcome')?.value.stringValue).toBe(done.kind === 'decided' ? done.decision.outcome : '')
    expect(spans.find((s) => s.name === 'record')?.status).toEqual({ code: 2 })
    for (const secret of ['secret words', JSON.stringify(event).slice(13, 30), ...Object.values((event as { patient?: Record<string, string> }).patient ?? {})]) {
      if (secret.length > 4) expect(texts.join('\n')).not.toContain(secret)
    }
  })

  it('that cannot be delivered stop nothing', async () => {
    const tracing = startTracing({ endpoint: 'http://127.0.0.1:9', version: 'test', ratio: 1 })
    expect(await tracing.span('work', () => Promise.resolve(7))).toBe(7)
    await tracing.stop()
  })
})
