/** The DDL of the history. Pure text: what runs it is migrate.ts. */
import { decision, decisionMembers, epochMs, head, headMembers, instant, review, reviewMembers } from './documents.js'

/** Days each table keeps its rows. */
export interface Retention { eventsDays: number; decisionsDays: number; holdsDays: number }

/** Just over a year of raw events for rebuilds; three years of decisions and holds for reports and appeals. */
export const DEFAULT_RETENTION: Retention = { eventsDays: 400, decisionsDays: 3 * 365, holdsDays: 3 * 365 }

/** Where the tables live. With a `cluster` they are replicated, and a Distributed table of the plain name stands before them. */
export interface Layout { database: string; cluster?: string; retention: Retention }

export interface Migration { version: number; name: string; statements: (layout: Layout) => string[] }

export const TABLES = ['events', 'decisions', 'holds'] as const
export type Table = (typeof TABLES)[number]

/**
 * Blocks whose tokens each table remembers: a repeated insert is a no-op while fewer than this many came in between.
 * At one batch a second that is nearly three hours; beyond it the row keys still collapse repeats on merge.
 */
const DEDUPLICATION_WINDOW = 10_000

/**
 * Fewer, larger merges than the engine's own 5: merges cost more than inserts do. There are about twice as many small parts (tens of a
 * table, where inserts slow down at a thousand).
 */
const MERGE_SELECTOR_BASE = 10

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

/** Database and cluster names go into SQL text unquoted. Throws RangeError on anything but a plain identifier. */
export function checkName(what: string, name: string): string {
  if (!NAME.test(name)) throw new RangeError(`ClickHouse ${what} name must match ${NAME.source}`)
  return name
}

const onCluster = (l: Layout): string => l.cluster === undefined ? '' : ` ON CLUSTER ${l.cluster}`
/** The table that holds rows: the one a TTL or a new column belongs to. */
const storage = (l: Layout, table: string): string => `${l.database}.${table}${l.cluster === undefined ? '' : '_local'}`

function engine(l: Layout, table: string, kind: string, shard = '{shard}'): string {
  return l.cluster === undefined ? kind : `Replicated${kind}('/clickhouse/tables/${shard}/${l.database}/${table}', '{replica}')`
}

function dedupSettings(l: Layout): string {
  // Embedded, a power cut must not take acknowledged rows; replicas have each other instead.
  return l.cluster === undefined
    ? `non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}, fsync_after_insert = 1, fsync_part_directory = 1`
    : `replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`
}

/** The expression of a table's TTL, in the form ClickHouse prints it back (migrate.ts compares the two). */
export function ttlOf(table: Table, r: Retention): string {
  switch (table) {
    case 'events': return `toDateTime(accepted_at) + toIntervalDay(${r.eventsDays})`
    case 'decisions': return `toDateTime(decided_at) + toIntervalDay(${r.decisionsDays})`
    case 'holds': return `toDateTime(first_at) + toIntervalDay(${r.holdsDays})`
  }
}

/** Moves a table to another retention. Rows past it leave with the merges to come; nothing is rewritten at once. */
export const modifyTtl = (l: Layout, table: Table): string =>
  `ALTER TABLE ${storage(l, table)}${onCluster(l)} MODIFY TTL ${ttlOf(table, l.retention)} SETTINGS materialize_ttl_after_modify = 0`

/** Name under which system.tables knows the table with the TTL. */
export const storageName = (l: Layout, table: Table): string => storage(l, table).slice(l.database.length + 1)

/** What has to stand before any migration can be looked up. Every node of a cluster has the whole list (shard `all`). */
export const bootstrap = (l: Layout): string[] => [
  `CREATE DATABASE IF NOT EXISTS ${l.database}${onCluster(l)}`,
  `CREATE TABLE IF NOT EXISTS ${l.database}.schema_migrations${onCluster(l)} (
  version UInt32,
  name String,
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ${engine(l, 'schema_migrations', 'ReplacingMergeTree', 'all')} ORDER BY version`,
]

interface Body { kind: string; partition?: string; orderBy: string; shardBy: string; settings?: string }

function table(l: Layout, name: Table, columns: string, body: Body): string[] {
  const partition = body.partition === undefined ? '' : `PARTITION BY ${body.partition} `
  const local = `CREATE TABLE IF NOT EXISTS ${storage(l, name)}${onCluster(l)} (${columns}
) ENGINE = ${engine(l, name, body.kind)} ${partition}ORDER BY ${body.orderBy} TTL ${ttlOf(name, l.retention)}
SETTINGS ${dedupSettings(l)}, merge_selector_base = ${MERGE_SELECTOR_BASE}${body.settings ?? ''}`
  if (l.cluster === undefined) return [local]
  const distributed = `CREATE TABLE IF NOT EXISTS ${l.database}.${name}${onCluster(l)} AS ${storage(l, name)}
ENGINE = Distributed(${l.cluster}, ${l.database}, ${name}_local, cityHash64(${body.shardBy}))`
  return [local, distributed]
}

/** What both tables have of the event. `T`: type of what a request must say. */
const place = (T: string): string => `
  head_members ${headMembers(T)},
  seq UInt64 DEFAULT ${head('seq')} CODEC(Delta, ZSTD(1)),
  event_id String DEFAULT ${head('event.eventId')} CODEC(ZSTD(1)),
  occurred_at DateTime64(3, 'UTC') DEFAULT ${instant(head('event.occurredAt'))} CODEC(Delta, ZSTD(1)),
  order_id ${T} DEFAULT ${head('event.orderId')} CODEC(ZSTD(1)),
  hospital_id LowCardinality(${T}) DEFAULT ${head('event.slot.hospitalId')},
  schedule_id ${T} DEFAULT ${head('event.slot.scheduleId')} CODEC(ZSTD(1)),
  slot_id Nullable(String) DEFAULT ${head('event.slot.slotId')} CODEC(ZSTD(1)),
  doctor_id LowCardinality(Nullable(String)) DEFAULT ${head('event.slot.doctorId')},
  department_id LowCardinality(Nullable(String)) DEFAULT ${head('event.slot.departmentId')},
  channel_id LowCardinality(${T}) DEFAULT ${head('event.channel.id')},
  channel_kind LowCardinality(${T}) DEFAULT ${head('event.channel.kind')},
  account_token Nullable(String) DEFAULT ${head('event.account.token')} CODEC(ZSTD(1)),
  patient_token ${T} DEFAULT ${head('event.patient.token')} CODEC(ZSTD(1)),`

// `Nullable` everywhere an event may be silent: a missing value is NULL, never '' or 0.
const MAYBE = 'Nullable(String)'

/**
 * The journal's copy, made by the engine from the records' own bytes. Rows come and are read by `seq`, which is therefore the
 * key; `event_id` makes it unique even when two journals count alike. The projection is a small second ordering that finds
 * the key of an event id. What only `find` and `read` want is taken from `head` when asked for: writing the event out of it once
 * more costs as much as all columns. The constraint refuses a document that the engine cannot read: it would make a row of nothing.
 */
const EVENTS = `
  head String CODEC(ZSTD(1)),${place(MAYBE)}
  accepted_at DateTime64(3, 'UTC') DEFAULT ${instant(head('acceptedAt'))} CODEC(Delta, ZSTD(1)),
  type LowCardinality(String) DEFAULT ${head('event.type')},
  phone_token Nullable(String) DEFAULT ${head('event.patient.phone.token')} CODEC(ZSTD(1)),
  device_token Nullable(String) DEFAULT ${head('event.device.token')} CODEC(ZSTD(1)),
  ip_token Nullable(String) DEFAULT ${head('event.network.ipToken')} CODEC(ZSTD(1)),
  ip_prefix_token Nullable(String) DEFAULT ${head('event.network.prefixToken')} CODEC(ZSTD(1)),
  payer_token Nullable(String) DEFAULT ${head('event.payer.token')} CODEC(ZSTD(1)),
  seat_token Nullable(String) DEFAULT ${head('event.operator.seatToken')} CODEC(ZSTD(1)),
  body_hash String ALIAS JSONExtractString(head, 'bodyHash'),
  event String ALIAS JSONExtractRaw(head, 'event'),
  CONSTRAINT was_read CHECK event_id != '',
  PROJECTION by_event_id (SELECT event_id, accepted_at, seq ORDER BY event_id)`

/** Members of `review.features` by name, each as its JSON text. */
const RAW_FEATURES = `CAST(JSONExtractKeysAndValuesRaw(ifNull(review, ''), 'features'), 'Map(String, String)')`

/**
 * One row per decided request. Under the same key as its event, because `find` and `read` join the two; reports filter
 * by partition and read narrow columns, which is fast without an order of their own. The features are computed from
 * `review` when asked for: kept as maps they would double both the bytes and the time of an insert.
 */
const DECISIONS = `
  head String EPHEMERAL,${place('String')}
  decision_members ${decisionMembers},
  review_members ${reviewMembers},
  decision_id String DEFAULT ${decision('decision_id')} CODEC(ZSTD(1)),
  decided_at DateTime64(3, 'UTC') DEFAULT ${instant(epochMs(decision('decided_at')))} CODEC(Delta, ZSTD(1)),
  outcome LowCardinality(String) DEFAULT ${decision('outcome')},
  basis LowCardinality(String) DEFAULT ${decision('basis')},
  score Nullable(Float64) DEFAULT ${decision('score')},
  reason_codes Array(LowCardinality(String)) DEFAULT ${decision('reasons.code')},
  hold_id Nullable(String) DEFAULT ${decision('hold.hold_id')} CODEC(ZSTD(1)),
  would_be LowCardinality(Nullable(String)) DEFAULT ${review('would_be.outcome')},
  would_be_basis LowCardinality(Nullable(String)) DEFAULT ${review('would_be.basis')},
  would_be_reason_codes Array(LowCardinality(String)) DEFAULT ${review('would_be.reasons.code')},
  enforcement LowCardinality(Nullable(String)) DEFAULT ${review('enforcement')},
  rule_score Nullable(Float64) DEFAULT ${review('rule_score')},
  rule_ids Array(LowCardinality(String)) DEFAULT ${review('rule_hits.rule')},
  shadow_rule_ids Array(LowCardinality(String)) DEFAULT ${review('shadow_hits.rule')},
  rule_errors Array(LowCardinality(String)) DEFAULT ${review('rule_errors')},
  rules_version LowCardinality(String) DEFAULT ${decision('versions.rules')},
  model_version LowCardinality(Nullable(String)) DEFAULT ${decision('versions.model')},
  policy_version LowCardinality(String) DEFAULT ${decision('versions.policy')},
  degraded Array(LowCardinality(String)) DEFAULT ${decision('degraded')},
  saturated Array(LowCardinality(String)) DEFAULT ${review('saturated')},
  decision String CODEC(ZSTD(1)),
  review Nullable(String) CODEC(ZSTD(1)),
  CONSTRAINT was_read CHECK event_id != '' AND decision_id != '',
  features Map(LowCardinality(String), Float64) ALIAS mapApply((name, json) -> (name, multiIf(json = 'true', 1, json = 'false', 0, toFloat64(json))),
    mapFilter((name, json) -> NOT startsWith(json, '"') AND json != 'null', ${RAW_FEATURES}))
    COMMENT 'numbers, and booleans as 0 or 1; a missing feature has no key',
  feature_texts Map(LowCardinality(String), String) ALIAS mapApply((name, json) -> (name, JSONExtractString(json)),
    mapFilter((name, json) -> startsWith(json, '"'), ${RAW_FEATURES}))`

/**
 * One row per hold once merged (read it with FINAL): the decision brings its beginning, the resolution its end, in
 * either order, and each column keeps the one value it was given. No partitions: beginning and end may fall into two
 * months and must meet in one part.
 */
const HOLDS = `
  hold_id String,
  first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
  event_id SimpleAggregateFunction(max, String),
  order_id SimpleAggregateFunction(max, String),
  hospital_id SimpleAggregateFunction(max, Nullable(String)),
  schedule_id SimpleAggregateFunction(max, Nullable(String)),
  doctor_id SimpleAggregateFunction(max, Nullable(String)),
  placed_at SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC'))),
  expires_at SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC'))),
  on_expiry SimpleAggregateFunction(max, Nullable(String)),
  resolution SimpleAggregateFunction(max, Nullable(String)),
  action SimpleAggregateFunction(max, Nullable(String)),
  resolved_by SimpleAggregateFunction(max, Nullable(String)),
  reason SimpleAggregateFunction(max, Nullable(String)),
  resolved_at SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC')))`

/** Small granules: a look-up by key unpacks a thousand rows of JSON, not eight thousand. */
const POINT_READS = ', index_granularity = 1024'

/** In order; a released one is never edited, only followed. Statements may run twice (a crash between two of them). */
export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1, name: 'events',
    statements: (l) => table(l, 'events', EVENTS, {
      kind: 'ReplacingMergeTree', partition: 'toYYYYMM(accepted_at)', orderBy: '(seq, event_id)', shardBy: 'event_id',
      settings: `${POINT_READS}, deduplicate_merge_projection_mode = 'rebuild'`,
    }),
  },
  {
    version: 2, name: 'decisions',
    statements: (l) => table(l, 'decisions', DECISIONS, {
      kind: 'ReplacingMergeTree', partition: 'toYYYYMM(decided_at)', orderBy: '(seq, event_id)', shardBy: 'event_id', settings: POINT_READS,
    }),
  },
  {
    version: 3, name: 'holds',
    statements: (l) => table(l, 'holds', HOLDS, { kind: 'AggregatingMergeTree', orderBy: 'hold_id', shardBy: 'hold_id' }),
  },
]
