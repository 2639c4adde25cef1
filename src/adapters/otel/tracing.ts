import { context, propagation, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider, ParentBasedSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'
import type { Tracing } from '../../ports/tracing.js'

export interface TracingOptions {
  /** Base URL of an OTLP/HTTP collector, as in OTEL_EXPORTER_OTLP_ENDPOINT. */
  endpoint: string
  version: string
  /** Share of events traced whose caller does not say; those of a traced caller always are. */
  ratio: number
}

/** Spans by OTLP/HTTP, in batches. A collector that is away loses them, and nothing else. */
export function startTracing({ endpoint, version, ratio }: TracingOptions): Tracing {
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'zhenhao', 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` }))],
  })
  provider.register()
  const tracer = trace.getTracer('zhenhao', version)
  return {
    async span(name, work, attributes, parent) {
      const above = parent === undefined ? context.active() : propagation.extract(context.active(), { traceparent: parent })
      const span = tracer.startSpan(name, {}, above)
      try {
        const result = await context.with(trace.setSpan(above, span), work)
        if (attributes && span.isRecording()) span.setAttributes(attributes(result))
        return result
      } catch (fault) {
        // The message may quote what a store was sent: only that it failed is said.
        span.setStatus({ code: SpanStatusCode.ERROR })
        throw fault
      } finally {
        span.end()
      }
    },
    stop: () => provider.shutdown().catch(() => undefined),
  }
}
