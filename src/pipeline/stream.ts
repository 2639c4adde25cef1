import { setTimeout as sleep } from 'node:timers/promises'
import type { FieldError } from '../domain/event.js'
import { TOPICS, type EventLog, type InMessage, type OutMessage, type Subscription } from '../ports/event-log.js'
import type { Engine, Processed } from './engine.js'
import { createGate, type Gate } from './gate.js'

type Rejected = Extract<Processed, { kind: 'rejected' }>

/** For the metrics; every hook is called after the fact. */
export interface StreamHooks {
  /** `done` of `messages` of one batch got through, in `tookMs`. */
  onBatch?(batch: { messages: number; done: number; tookMs: number }): void
  /** A dead letter was acknowledged. */
  onDeadLetter?(status: Rejected['status']): void
  /** Something has to be tried again; nothing is lost by it. */
  onRetry?(why: 'overloaded' | 'fault' | 'dead_letter_failed'): void
}

export interface StreamOptions {
  eventLog: EventLog
  engine: Engine
  /** Consumer group. */
  group: string
  log: { warn(fields: object, message: string): void; error(fields: object, message: string): void }
  hooks?: StreamHooks
  /** Bytes of messages that the engine may have in hand, over all partitions; 16 MiB unless told. */
  maxInFlightBytes?: number
  /** The same in messages; 5,000 unless told. */
  maxInFlightMessages?: number
  /** Epoch milliseconds. */
  now: () => number
}

/** Messages given to the engine before other work of this process (an HTTP call, say) gets its turn. */
const MESSAGES_PER_TURN = 64

/**
 * The stream worker: `booking-events` through the engine, in order. The offset moves only over messages that are durable
 * or acknowledged as dead letters; everything else comes again. Decisions are published from the journal, not here.
 */
export function runStream(options: StreamOptions): Promise<Subscription> {
  const { eventLog, hooks = {}, log, group, now } = options
  const gate = createGate({ bytes: options.maxInFlightBytes ?? 16 * 1024 * 1024, messages: options.maxInFlightMessages ?? 5_000 })

  return eventLog.subscribe(TOPICS.events, group, async (messages, signal) => {
    const startedAt = now()
    let done = 0
    while (done < messages.length && !signal.aborted) {
      const outcomes = await submit(options.engine, gate, messages.slice(done), signal)
      const { processed, stop } = leadingRun(outcomes)
      const letters = deadLetters(messages.slice(done), processed)
      if (!(await publishLetters(letters))) break
      done += processed.length
      if (stop?.kind === 'fault') {
        hooks.onRetry?.('fault')
        log.error({ ...placeOf(messages[done]), error: messageOf(stop.reason) }, 'An event could not be processed and will come again')
        break
      }
      if (stop?.kind === 'overloaded') {
        hooks.onRetry?.('overloaded')
        // The wait ends early when the partition is taken from us.
        await sleep(stop.retryAfterMs, undefined, { signal }).catch(() => undefined)
      }
    }
    hooks.onBatch?.({ messages: messages.length, done, tookMs: now() - startedAt })
    return done
  })

  /** False when they are not acknowledged: the offset must stay before them. */
  async function publishLetters(letters: readonly DeadLetter[]): Promise<boolean> {
    if (letters.length === 0) return true
    try {
      await eventLog.publish(TOPICS.deadLetters, letters.map(({ message }) => message))
    } catch (error) {
      hooks.onRetry?.('dead_letter_failed')
      log.error({ letters: letters.length, error: messageOf(error) }, 'Dead letters could not be published; their messages will come again')
      return false
    }
    for (const { status } of letters) hooks.onDeadLetter?.(status)
    return true
  }
}

/**
 * Gives messages to the engine in order without waiting for results, and waits for those of all it gave.
 * Returns outcomes of a leading run: no more are given once one was turned away or failed, or `signal` aborts.
 */
async function submit(engine: Engine, gate: Gate, messages: readonly InMessage[], signal: AbortSignal): Promise<PromiseSettledResult<Processed>[]> {
  const running: Promise<Processed>[] = []
  const state = { halted: false }
  for (const { value, headers } of messages) {
    if (running.length % MESSAGES_PER_TURN === MESSAGES_PER_TURN - 1) await new Promise(setImmediate)
    const bytes = value?.length ?? 0
    await gate.enter(bytes)
    if (state.halted || signal.aborted) { gate.leave(bytes); break }
    const result = processOne(engine, value, headers['traceparent'])
    running.push(result)
    void result.then(({ kind }) => { state.halted ||= kind === 'overloaded' }, () => { state.halted = true }).finally(() => { gate.leave(bytes) })
  }
  return Promise.allSettled(running)
}

/** Runs the engine's synchronous part at once; what it throws becomes a rejection. */
async function processOne(engine: Engine, value: Buffer | null, traceparent: string | undefined): Promise<Processed> {
  if (value === null) return { kind: 'rejected', status: 400, errors: [{ path: '', message: 'the message has no value (tombstone)' }] }
  return engine.process({ body: value, ...(traceparent === undefined ? {} : { traceparent }) })
}

type Settled = Exclude<Processed, { kind: 'overloaded' }>
type Stop = { kind: 'fault'; reason: unknown } | { kind: 'overloaded'; retryAfterMs: number }

/** What got through before the first that did not. Later ones come again: the engine knows them by their event id. */
function leadingRun(outcomes: readonly PromiseSettledResult<Processed>[]): { processed: Settled[]; stop?: Stop } {
  const processed: Settled[] = []
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') return { processed, stop: { kind: 'fault', reason: outcome.reason } }
    if (outcome.value.kind === 'overloaded') return { processed, stop: outcome.value }
    processed.push(outcome.value)
  }
  return { processed }
}

interface DeadLetter { status: Rejected['status']; message: OutMessage }

function deadLetters(messages: readonly InMessage[], processed: readonly Settled[]): DeadLetter[] {
  const letters: DeadLetter[] = []
  messages.forEach((message, at) => {
    const result = processed[at]
    if (result?.kind === 'rejected') letters.push({ status: result.status, message: toDeadLetter(message, result) })
  })
  return letters
}

/** So that a letter always fits into the dead-letter topic, whatever is wrong with it. */
const MAX_REASONS = 50
const MAX_ID_LENGTH = 128

/** The raw bytes, with where they came from and what is wrong with them (CONTRACT section 2); never a value of the person. */
function toDeadLetter({ topic, partition, offset, value }: InMessage, { status, errors, eventId }: Rejected): OutMessage {
  const reason: FieldError[] = errors.slice(0, MAX_REASONS).map(({ path, message }) => ({ path, message }))
  if (errors.length > MAX_REASONS) reason.push({ path: '', message: `and ${errors.length - MAX_REASONS} more errors` })
  const headers = { topic, partition: String(partition), offset, status: String(status), reason: JSON.stringify(reason) }
  return { key: orderIdOf(value), value: value ?? Buffer.alloc(0), headers: isId(eventId) ? { ...headers, event_id: eventId } : headers }
}

/** Our own topics are keyed by order_id, as far as a rejected message has one. */
function orderIdOf(value: Buffer | null): string | null {
  try {
    const body: unknown = JSON.parse(value?.toString() ?? '')
    const event = isObject(body) && 'specversion' in body ? body['data'] : body
    const orderId = isObject(event) ? event['order_id'] : undefined
    return isId(orderId) ? orderId : null
  } catch {
    // Not JSON at all, which may well be what is wrong with it.
    return null
  }
}

const isId = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length <= MAX_ID_LENGTH
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const placeOf = (message: InMessage | undefined) => ({ topic: message?.topic, partition: message?.partition, offset: message?.offset })
const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
