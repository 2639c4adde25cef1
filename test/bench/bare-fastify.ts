import fastify from 'fastify'

/** The yardstick: Fastify 5 alone. It reads the same bodies, checks 18 fields of them and answers a decision's shape. No thought goes in. */
const text = { type: 'string' }
const part = (required: string[], properties: Record<string, object>): object => ({ type: 'object', required, properties })
const body = part(['event_id', 'type', 'occurred_at', 'order_id', 'channel', 'patient', 'slot'], {
  event_id: { type: 'string', minLength: 1, maxLength: 128 }, type: { type: 'string', enum: ['booking.requested'] }, occurred_at: text, order_id: text,
  channel: part(['id', 'kind'], { id: text, kind: text }),
  account: part(['id'], { id: text }),
  patient: part(['id_type', 'id_number'], { id_type: text, id_number: text, name: text, phone: text }),
  slot: part(['hospital_id', 'schedule_id'], { hospital_id: text, schedule_id: text, slot_id: text, fee_fen: { type: 'integer' } }),
  device: part(['id'], { id: text }),
  network: part(['ip'], { ip: text }),
  session: part([], { captcha_ms: { type: 'integer' } }),
})
const answer = part([], {
  decision_id: text, event_id: text, order_id: text, decided_at: text, outcome: text, basis: text, score: { type: 'number' },
  reasons: { type: 'array', items: part([], { code: text }) }, degraded: { type: 'array', items: text },
  versions: part([], { rules: text, model: text, policy: text }),
})

const app = fastify()
app.post('/v1/score', { schema: { body, response: { 200: answer } } }, (request) => {
  const { event_id, order_id } = request.body as { event_id: string; order_id: string }
  return {
    decision_id: 'd-0123456789abcdef0123456789abcdef', event_id, order_id, decided_at: '2026-11-20T07:00:00.412Z', outcome: 'allow', basis: 'risk', score: 0,
    reasons: [], degraded: [], versions: { rules: 'r', model: 'm', policy: 'p' },
  }
})
const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ url })
