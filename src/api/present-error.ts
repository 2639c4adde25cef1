import type { FastifyError, FastifyReply } from 'fastify'
import type { FieldError } from '../domain/event.js'

/** Every way a call can fail, with its status and words. RFC 9457; `type` is `urn:zhenhao:problem:KIND`. */
const PROBLEMS = {
  'bad-request': { status: 400, title: 'The request is not valid', detail: 'See errors: each names a place and what is expected there.' },
  'unauthenticated': { status: 401, title: 'A valid key is needed', detail: 'Send `Authorization: Bearer KEY` with a key that is known and not revoked.' },
  'forbidden': { status: 403, title: 'Not allowed', detail: 'This key may not do this.' },
  'not-found': { status: 404, title: 'Not found', detail: 'There is nothing here.' },
  'conflict': { status: 409, title: 'Conflict', detail: 'This was done otherwise before.' },
  'gone': { status: 410, title: 'Too old', detail: 'The event is older than the memory of decisions, so a repeat cannot be told from a new one.' },
  'too-large': { status: 413, title: 'The body is too large', detail: 'Send less at a time.' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type', detail: 'Send application/json (or, for events, application/x-ndjson).' },
  'too-many-requests': { status: 429, title: 'Too many requests', detail: 'Wait as long as Retry-After says.' },
  'internal': { status: 500, title: 'Internal error', detail: 'A fault of ours; it is in the log.' },
  'overloaded': { status: 503, title: 'Overloaded', detail: 'Nothing was done, or what was done is safe to repeat with the same event ids.' },
  'unavailable': { status: 503, title: 'Temporarily unavailable', detail: 'Repeat the same call; it is idempotent.' },
} as const
export type ProblemKind = keyof typeof PROBLEMS

export interface Problem { type: string; title: string; status: number; detail: string; errors?: readonly FieldError[]; hold?: unknown }
type Extra = Partial<Pick<Problem, 'detail' | 'errors' | 'hold'>>

export const PROBLEM_JSON = 'application/problem+json'
const RETRY_MS = 1_000

/** A body that could not be read as JSON, or breaks its schema. Thrown only inside Fastify's parsers, which know no values. */
export class BadInput extends Error {
  readonly statusCode = 400
  constructor(readonly errors: readonly FieldError[]) { super('bad input') }
}

export function problem(kind: ProblemKind, extra: Extra = {}): Problem {
  const { status, title, detail } = PROBLEMS[kind]
  return { type: `urn:zhenhao:problem:${kind}`, title, status, detail, ...extra }
}

/** Whole seconds, at least 1. */
export const retryAfter = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1_000)))

/** Sends a problem; `retryAfterMs` becomes Retry-After. */
export function sendProblem(reply: FastifyReply, kind: ProblemKind, extra?: Extra, retryAfterMs?: number): FastifyReply {
  const body = problem(kind, extra)
  if (retryAfterMs !== undefined) reply.header('retry-after', retryAfter(retryAfterMs))
  return reply.code(body.status).type(PROBLEM_JSON).send(JSON.stringify(body))
}

/** What a rejected event is to its sender. */
export function rejectionProblem(status: 400 | 409 | 410, errors: readonly FieldError[]): Problem {
  switch (status) {
    case 400: return problem('bad-request', { errors })
    case 409: return problem('conflict', { detail: 'This event_id was decided with another body.', errors })
    case 410: return problem('gone', { errors })
  }
}

/** The one place where a thrown error meets HTTP. Says nothing of the error itself: its message may quote what was sent. */
export function presentError(error: FastifyError, reply: FastifyReply, logFault: () => void): FastifyReply {
  if (error instanceof BadInput) return sendProblem(reply, 'bad-request', { errors: error.errors })
  if (error.validation) return sendProblem(reply, 'bad-request', { errors: error.validation.map(fieldError) })
  if (error.code === 'BAD_CURSOR') return sendProblem(reply, 'bad-request', { errors: [{ path: '/cursor', message: 'the next_cursor of an earlier page is expected' }] })
  if (error.code === 'FST_UNDER_PRESSURE') return sendProblem(reply, 'overloaded', undefined, RETRY_MS)
  const kind = kindOfStatus(error.statusCode)
  if (kind) return sendProblem(reply, kind, kind === 'bad-request' ? { errors: [{ path: '', message: 'a well-formed request is expected' }] } : undefined)
  logFault()
  return isBug(error) ? sendProblem(reply, 'internal') : sendProblem(reply, 'unavailable', undefined, RETRY_MS)
}

function kindOfStatus(status: number | undefined): ProblemKind | undefined {
  if (status === 413) return 'too-large'
  if (status === 414) return 'not-found'
  if (status === 415) return 'unsupported-media-type'
  return status !== undefined && status >= 400 && status < 500 ? 'bad-request' : undefined
}

type Violation = NonNullable<FastifyError['validation']>[number]

/** Ajv's finding as ours: a missing member and an unknown one are named themselves. Ajv's messages hold no values. */
function fieldError({ instancePath, keyword, params, message }: Violation): FieldError {
  const { missingProperty, additionalProperty } = params
  if (keyword === 'required' && typeof missingProperty === 'string') return { path: `${instancePath}/${missingProperty}`, message: 'is missing' }
  // A made-up member name could itself be somebody's name: only what looks like a field of ours is repeated.
  if (keyword === 'additionalProperties' && typeof additionalProperty === 'string' && /^[a-z_]{1,40}$/.test(additionalProperty)) {
    return { path: `${instancePath}/${additionalProperty}`, message: 'is no known field' }
  }
  return { path: instancePath, message: message ?? 'is not valid' }
}

/** A mistake in our code, as opposed to a store that is away. */
const isBug = (error: Error): boolean => [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind)
