import { TOPICS } from '../../src/ports/event-log.js'
import type { Decision } from '../../src/domain/decision.js'
import type { Outside } from './outside.js'

export interface Published {
  /** The first message of each event. `at`: when it was put on the topic, epoch ms. */
  byEvent: Map<string, { decision: Decision; bytes: string; at: number }>
  messages: number
  /** Messages whose bytes are not those of the first of their event. */
  different: number
  outcomes: Record<string, number>
  degraded: number
}

/** All that is on `booking-decisions`, as an outside consumer reads it. */
export async function readDecisions(outside: Outside): Promise<Published> {
  const read: Published = { byEvent: new Map(), messages: 0, different: 0, outcomes: {}, degraded: 0 }
  await outside.readAll(TOPICS.decisions, (value, at) => {
    const bytes = value.toString()
    const decision = JSON.parse(bytes) as Decision
    read.messages++
    const first = read.byEvent.get(decision.event_id)
    if (first) { read.different += first.bytes === bytes ? 0 : 1; return }
    read.byEvent.set(decision.event_id, { decision, bytes, at })
    read.outcomes[decision.outcome] = (read.outcomes[decision.outcome] ?? 0) + 1
    read.degraded += decision.degraded.length > 0 ? 1 : 0
  })
  return read
}
