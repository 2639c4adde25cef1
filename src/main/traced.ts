import type { Engine } from '../pipeline/engine.js'
import type { Recorder } from '../ports/recorder.js'
import type { Tracing } from '../ports/tracing.js'
import type { VelocityStore } from '../ports/velocity-store.js'

/** One span for each event, with what became of it. */
export const tracedEngine = (engine: Engine, tracing: Tracing): Engine => ({
  process: (raw) => tracing.span('process event', () => engine.process(raw), (done) => ({
    'zhenhao.result': done.kind, ...(done.kind === 'decided' ? { 'zhenhao.outcome': done.decision.outcome, 'zhenhao.duplicate': done.duplicate } : {}),
  }), raw.traceparent),
})

/** One span for each conversation that makes trips; what memory runs straight through is no trip. */
export const tracedVelocity = (store: VelocityStore, tracing: Tracing): VelocityStore => ({
  get incomplete() { return store.incomplete },
  run(exchange) {
    const result = store.run(exchange)
    return result instanceof Promise ? tracing.span('velocity', () => result) : result
  },
})

/** Spans for looking an event up, and for making it durable. */
export const tracedRecorder = (recorder: Recorder, tracing: Tracing): Recorder => ({
  find(eventId, bodyHash) {
    const found = recorder.find(eventId, bodyHash)
    return found && tracing.span('find', () => found)
  },
  record: (entry, effects) => tracing.span('record', () => recorder.record(entry, effects), () => ({ 'zhenhao.type': entry.event.type, 'zhenhao.effects': effects !== undefined })),
  get pending() { return recorder.pending },
  get fault() { return recorder.fault },
})
