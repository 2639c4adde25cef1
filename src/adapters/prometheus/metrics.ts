import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Read at scrape time. */
export interface Gauges {
  journalLastSeq: number
  journalDurableSeq: number
  enforcedSeq: number
  /** Undefined where another process does this work. */
  historySeq: number | undefined
  publishedSeq: number | undefined
  /** Of counters in this process; undefined when they are in Redis. */
  velocityEntities: number | undefined
  velocityBytes: number | undefined
  /** What they may take at most; 0 or undefined: no limit that is known. */
  velocityMaxBytes: number | undefined
  /** Work that one process at a time does, and whether it is this one. */
  leads: Readonly<Record<string, boolean>>
  velocityIncomplete: boolean
  streamLag: number | undefined
}

/**
 * Everything the process says about itself. Help texts say what a sustained value means to the one who is paged.
 * No label ever holds an id of a person, an order or an event.
 */
export function createMetrics(read: () => Promise<Gauges>) {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'zhenhao_' })
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> => new Counter({ name: `zhenhao_${name}`, help, labelNames, registers })

  const decisions = counter('decisions_total', 'Decisions given out, by outcome and basis. A jump in hold or deny without a jump in requests: a rule went wrong or an attack began; look at zhenhao_rule_hits_total.', ['outcome', 'basis', 'enforcement'])
  const events = counter('events_total', 'New events accepted, by type. A type that stops while others go on: the platform stopped sending it, and rules that need it go blind.', ['type'])
  const turnedAway = counter('events_turned_away_total', 'Events not accepted, by status: 400 bad input, 409 same id with another body, 410 too old, 503 overloaded. Sustained 400: the sender changed its format. Sustained 503: add processes.', ['status'])
  const ruleHits = counter('rule_hits_total', 'Rule hits, live and shadow. A rule that hits many times its usual rate: check it before it hurts patients.', ['rule', 'mode'])
  const ruleErrors = counter('rule_errors_total', 'Rules that could not be evaluated. Anything above zero is a fault in that rule.', ['rule'])
  const degraded = counter('decisions_degraded_total', 'Decisions made without some part. Sustained: that part is down.', ['part'])
  const holdsExpired = counter('holds_expired_total', 'Holds that nobody decided in time. Sustained growth beside a full queue: reviewers are short.')
  const holdsDelivered = counter('hold_messages_delivered_total', 'Ended holds delivered, by sink.', ['sink'])
  const holdsFailed = counter('hold_steps_failed_total', 'Failed rounds of hold expiry and delivery. Sustained for a sink: it is down, and booking cores wait for its messages.', ['step'])
  const deadLetters = counter('dead_letters_total', 'Messages that could not be understood, by status. Sustained: read the reasons on booking-events-dlq.', ['status'])
  const streamRetries = counter('stream_retries_total', 'Messages taken again, by reason. Sustained fault: a store is down. Sustained overloaded: the stream brings more than the process can decide.', ['why'])
  const streamBatches = new Histogram({ name: 'zhenhao_stream_batch_seconds', help: 'From a batch in hand to its offsets free to move. p99 above 0.5 s: the stream decides too late (the bar is 500 ms).', registers, buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] })
  const http = new Histogram({ name: 'zhenhao_http_request_seconds', help: 'HTTP answers by route and status. p99 of /v1/score above 0.3 s: callers confirm without us.', labelNames: ['route', 'status'], registers, buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 3] })
  const storeRetries = counter('store_retries_total', 'Writes tried again, by store. Sustained enforcement: PostgreSQL is away and decisions with a hold are not given out. Sustained history: ClickHouse is away; nothing is lost while the disk has room for the journal.', ['store'])

  const gauge = (name: string, help: string, value: (g: Gauges) => number | undefined): ((g: Gauges) => void) => {
    const g = new Gauge({ name: `zhenhao_${name}`, help, registers })
    return (gauges) => { const v = value(gauges); if (v === undefined) g.remove(); else g.set(v) }
  }
  const gauges = [
    gauge('journal_last_seq', 'Position of the newest accepted event.', (g) => g.journalLastSeq),
    gauge('journal_pending', 'Events accepted but not yet durable. Sustained thousands: the disk is too slow.', (g) => g.journalLastSeq - g.journalDurableSeq),
    gauge('enforcement_lag', 'Durable events whose holds are not yet in PostgreSQL. Sustained: PostgreSQL is slow or away.', (g) => g.journalDurableSeq - g.enforcedSeq),
    gauge('history_lag', 'Events not yet in ClickHouse. Growing: ClickHouse is slow or away; reports and reviews lag, decisions do not.', (g) => g.historySeq === undefined ? undefined : g.enforcedSeq - g.historySeq),
    gauge('publish_lag', 'Events whose decision is not yet on booking-decisions. Growing: Kafka is slow or away.', (g) => g.publishedSeq === undefined ? undefined : g.enforcedSeq - g.publishedSeq),
    gauge('velocity_entities', 'Entities with velocity state in this process.', (g) => g.velocityEntities),
    gauge('velocity_bytes', 'Memory of the velocity state: of this process, or of the fullest Redis node. Near the cap: old entities are dropped before their time; a full Redis takes nothing more, and decisions are degraded.', (g) => g.velocityBytes),
    gauge('velocity_max_bytes', 'Cap of zhenhao_velocity_bytes (maxmemory of Redis); absent or 0 without one.', (g) => g.velocityMaxBytes),
    gauge('velocity_incomplete', '1 when state was dropped before its time: or counters in Redis are away or being filled: decisions carry degraded velocity. Alone: give the process more memory. Over Redis and for minutes: look at Redis.', (g) => (g.velocityIncomplete ? 1 : 0)),
    gauge('stream_lag', 'Messages on booking-events not yet read. Growing: add stream processes.', (g) => g.streamLag),
  ]

  const leads = new Gauge({ name: 'zhenhao_leads', help: 'Work that one process at a time does (outgoing: publishes decisions, writes history, ends holds; counters: keeps them whole), 1 in the process that does it. No process with 1 for a minute: nobody does it; look at PostgreSQL.', labelNames: ['work'], registers })

  return {
    decisions, events, turnedAway, ruleHits, ruleErrors, degraded, holdsExpired, holdsDelivered, holdsFailed, deadLetters, streamRetries, streamBatches, http, storeRetries,
    async text(): Promise<{ contentType: string; body: string }> {
      const now = await read()
      for (const set of gauges) set(now)
      for (const [work, leading] of Object.entries(now.leads)) leads.set({ work }, leading ? 1 : 0)
      return { contentType: registry.contentType, body: await registry.metrics() }
    },
  }
}

export type Metrics = ReturnType<typeof createMetrics>
