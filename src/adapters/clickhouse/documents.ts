/** SQL for what the columns take out of a record's three lines of JSON (domain/record.ts), so that the engine does the parsing. */

/**
 * The members of a JSON document in a text column by dotted path, NULL where they are missing, as a column that exists during
 * an insert only. The document is parsed once per row; and since every node of every expression costs an insert some 70 us
 * whatever its rows, the tuple is flat: a column takes its member in one step.
 */
const membersOf = (column: string, type: string): string => `EPHEMERAL flattenTuple(JSONExtract(${column}, '${type}'))`

/** Expression for the member at a dotted path of such a column. */
const memberOf = (members: string) => (path: string): string => `tupleElement(${members}, '${path}')`

const texts = (...names: string[]): string => names.map((name) => `${name} Nullable(String)`).join(', ')

/** First line of a record (domain/record.ts): what an insert gives to the column `head`. `T`: type of what a request must say. */
export const headMembers = (T: string): string => membersOf('head', [
  `Tuple(seq UInt64, acceptedAt Int64, event Tuple(eventId String, type String, occurredAt Int64, orderId ${T}`,
  `channel Tuple(id ${T}, kind ${T}), account Tuple(${texts('token')}), patient Tuple(token ${T}, phone Tuple(${texts('token')}))`,
  `slot Tuple(hospitalId ${T}, scheduleId ${T}, ${texts('slotId', 'doctorId', 'departmentId')}), device Tuple(${texts('token')})`,
  `network Tuple(${texts('ipToken', 'prefixToken')}), payer Tuple(${texts('token')}), operator Tuple(${texts('seatToken')})))`,
].join(', '))
export const head = memberOf('head_members')

/** Second line: the decision as the caller has it. */
export const decisionMembers = membersOf('decision', [
  'Tuple(decision_id String, decided_at String, outcome String, basis String, score Nullable(Float64), reasons Array(Tuple(code String))',
  `hold Tuple(${texts('hold_id')}), degraded Array(String), versions Tuple(rules String, model Nullable(String), policy String))`,
].join(', '))
export const decision = memberOf('decision_members')

/** Third line, if there is one. */
export const reviewMembers = membersOf(`ifNull(review, '')`, [
  `Tuple(would_be Tuple(${texts('outcome', 'basis')}, reasons Array(Tuple(code String))), enforcement Nullable(String), rule_score Nullable(Float64)`,
  'rule_hits Array(Tuple(rule String)), shadow_hits Array(Tuple(rule String)), rule_errors Array(String), saturated Array(String))',
].join(', '))
export const review = memberOf('review_members')

/** What DateTime64(3) can hold. Only the columns are clamped; the event's own JSON keeps any time exactly. */
const [EARLIEST_MS, LATEST_MS] = [Date.UTC(1900, 0, 1), Date.UTC(2299, 11, 31)]

/** An instant, from epoch milliseconds. */
export const instant = (ms: string): string => `fromUnixTimestamp64Milli(least(greatest(${ms}, ${EARLIEST_MS}), ${LATEST_MS}), 'UTC')`

/** Epoch milliseconds of a time in RFC 3339. */
export const epochMs = (time: string): string => `toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(${time}, 3, 'UTC'))`
