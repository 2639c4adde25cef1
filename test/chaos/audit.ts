import { setTimeout as sleep } from 'node:timers/promises'
import type { CallbackReceiver } from '../support/callback-receiver.js'
import type { Client } from '../support/client.js'
import type { Follower } from '../support/outside-kafka.js'
import type { WireEvent } from '../support/traffic.js'
import type { Ledger, PlacedHold } from './ledger.js'

export const SETTLE_WITHIN_MS = 90_000
const AUDIT_BATCH = 500

/** Waits until every request has been decided on the topic, or nothing helps any more. */
export async function untilSettled({ sent, decisions }: Ledger, isReady: () => boolean = () => true): Promise<void> {
  const requests = [...sent.values()].filter(({ type }) => type === 'booking.requested')
  const deadline = Date.now() + SETTLE_WITHIN_MS
  const isSettled = (): boolean => isReady() && requests.every(({ event_id: id }) => (decisions.get(id)?.topic ?? 0) > 0)
  while (!isSettled() && Date.now() < deadline) await sleep(200)
}

/** Sends every event once more, over HTTP: answers must be the ones given before, and nothing may be new. Returns what was. */
export async function repeatAll(client: Client, ledger: Ledger): Promise<string[]> {
  const all = [...ledger.sent.values()]
  const unknown: string[] = []
  for (const batch of batches(all.filter(({ type }) => type === 'booking.requested'))) {
    const { text } = await client.insist('POST', '/v1/score/batch', { body: batch })
    splitArray(text).forEach((bytes, n) => { ledger.noteDecision('http', batch[n]?.event_id ?? '', bytes) })
  }
  for (const batch of batches(all.filter(({ type }) => type !== 'booking.requested'))) {
    const { text } = await client.insist('POST', '/v1/events', { body: batch })
    const { duplicates } = JSON.parse(text) as { duplicates: number }
    // Which of them it was cannot be asked any more: by now they are known.
    for (let n = duplicates; n < batch.length; n++) unknown.push(`one of ${batch.length} events after ${batch[0]?.event_id ?? ''}`)
  }
  return unknown
}

function* batches(events: readonly WireEvent[]): Generator<readonly WireEvent[]> {
  for (let at = 0; at < events.length; at += AUDIT_BATCH) yield events.slice(at, at + AUDIT_BATCH)
}

/** The items of a JSON array of objects as the very texts that stand in it. */
function splitArray(text: string): string[] {
  const items: string[] = []
  let depth = 0
  let inString = false
  let start = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' && depth++ === 0) start = at
    else if (char === '}' && --depth === 0) items.push(text.slice(start, at + 1))
  }
  return items
}

/** Waits until every hold that should end has ended on both roads. Returns the ids that the product calls active. */
export async function untilEnded(lead: Client, ledger: Ledger, receiver: CallbackReceiver, follower: Follower, may: (hold: PlacedHold) => boolean): Promise<Set<string>> {
  const due = [...ledger.holds.values()].filter((hold) => !may(hold))
  const lastMs = Math.max(Date.now(), ...due.filter(({ hospital }) => hospital === 'h-brief').map(({ expiresAt }) => expiresAt))
  let read = 0
  for (;;) {
    for (; read < receiver.received.length; read++) ledger.noteEnding('callback', receiver.received[read]?.body ?? '')
    const open = due.filter(({ holdId }) => { const seen = ledger.endings.get(holdId); return seen === undefined || seen.topic === 0 || seen.callback === 0 })
    if (open.length === 0 || Date.now() > lastMs + SETTLE_WITHIN_MS) break
    await sleep(200)
  }
  await follower.caughtUp()
  const active = new Set<string>()
  for (let cursor: string | null = ''; cursor !== null;) {
    const { text } = await lead.insist('GET', `/v1/holds?status=active&limit=200${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`)
    const page = JSON.parse(text) as { items: { hold_id: string }[]; next_cursor: string | null }
    for (const { hold_id: id } of page.items) active.add(id)
    cursor = page.next_cursor
  }
  return active
}
