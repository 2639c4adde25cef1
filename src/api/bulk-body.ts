import type { FieldError } from '../domain/event.js'
import type { Raw } from '../pipeline/engine.js'

export type BulkBody = { ok: true; items: Raw['body'][] } | { ok: false; errors: FieldError[] }

const NEWLINE = 0x0a
const wrong = (message: string): BulkBody => ({ ok: false, errors: [{ path: '', message }] })

/** A JSON array of at most `max` events; with `single`, one object counts as an array of one. */
export function readJsonItems(body: Buffer, max: number, single: boolean): BulkBody {
  let json: unknown
  try {
    json = JSON.parse(body.toString('utf8'))
  } catch {
    // V8's message quotes the text, which may hold an identity.
    return wrong('is no JSON')
  }
  const items: unknown[] | undefined = Array.isArray(json) ? json : single && typeof json === 'object' && json !== null ? [json] : undefined
  if (!items) return wrong(single ? 'an array of events, or one event, is expected' : 'an array of events is expected')
  if (items.length > max) return wrong(`at most ${max} events at a time`)
  return { ok: true, items: items.map((item) => ({ json: item })) }
}

/** One event a line; empty lines are skipped. Lines stay bytes: each is decoded on its own, so a broken one harms no other. */
export function readLines(body: Buffer, max: number): BulkBody {
  const items: Buffer[] = []
  for (let start = 0; start < body.length;) {
    const found = body.indexOf(NEWLINE, start)
    const end = found === -1 ? body.length : found
    const line = body.subarray(start, end)
    if (!isBlank(line)) items.push(line)
    if (items.length > max) return wrong(`at most ${max} events at a time`)
    start = end + 1
  }
  return { ok: true, items }
}

const isBlank = (line: Buffer): boolean => line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
