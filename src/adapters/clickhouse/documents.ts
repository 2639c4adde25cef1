/** SQL for what the columns take out of a record's three lines of JSON (domain/record.ts), so that the engine does the parsing. */

/** Expression for the member at a dotted path. */
export type Member = (path: string) => string

/**
 * A member of a JSON document in a text column, NULL where it is missing. The whole document is one expression, the same in
 * every column, which the engine evaluates once per row: a path of its own per column would parse the document each time.
 */
const memberOf = (column: string, type: string): Member => (path) =>
  path.split('.').reduce((whole, name) => `tupleElement(${whole}, '${name}')`, `JSONExtract(${column}, '${type}')`)

const texts = (...names: string[]): string => names.map((name) => `${name} Nullable(String)`).join(', ')

/**
 * First line of a record (domain/record.ts): what an insert gives to the column `head`, which is not stored. `T` is the type
 * of what a request must say.
 */
export const headWith = (T: string): Member => memberOf('head', [
  `Tuple(seq UInt64, acceptedAt Int64, bodyHash String, event Tuple(eventId String, type String, occurredAt Int64, orderId ${T}`,
  `channel Tuple(id ${T}, kind ${T}), account Tuple(${texts('token')}), patient Tuple(token ${T}, phone Tuple(${texts('token')}))`,
  `slot Tuple(hospitalId ${T}, scheduleId ${T}, ${texts('slotId', 'doctorId', 'departmentId')}), device Tuple(${texts('token')})`,
  `network Tuple(${texts('ipToken', 'prefixToken')}), payer Tuple(${texts('token')}), operator Tuple(${texts('seatToken')})))`,
].join(', '))

/** Second line: the decision as the caller has it. */
export const decision = memberOf('decision', [
  'Tuple(decision_id String, decided_at String, outcome String, basis String, score Nullable(Float64), reasons Array(Tuple(code String))',
  `hold Tuple(${texts('hold_id')}), degraded Array(String), versions Tuple(rules String, model Nullable(String), policy String))`,
].join(', '))

/** Third line, if there is one. */
export const review = memberOf(`ifNull(review, '')`, [
  `Tuple(would_be Tuple(${texts('outcome', 'basis')}, reasons Array(Tuple(code String))), enforcement Nullable(String), rule_score Nullable(Float64)`,
  'rule_hits Array(Tuple(rule String)), shadow_hits Array(Tuple(rule String)), rule_errors Array(String), saturated Array(String))',
].join(', '))

/** What DateTime64(3) can hold. Only the columns are clamped; the event's own JSON keeps any time exactly. */
const [EARLIEST_MS, LATEST_MS] = [Date.UTC(1900, 0, 1), Date.UTC(2299, 11, 31)]

/** An instant, from epoch milliseconds. */
export const instant = (ms: string): string => `fromUnixTimestamp64Milli(least(greatest(${ms}, ${EARLIEST_MS}), ${LATEST_MS}), 'UTC')`

/** Epoch milliseconds of a time in RFC 3339. */
export const epochMs = (time: string): string => `toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(${time}, 3, 'UTC'))`
