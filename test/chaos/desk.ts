import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../support/client.js'
import type { WireEvent } from '../support/traffic.js'
import type { Ledger, PlacedHold } from './ledger.js'

export interface Desk {
  /** A hold for the next free reviewer, not before `notBefore` (epoch milliseconds). */
  add(holdId: string, notBefore?: number): void
  /** Resolves when all that was added is decided. */
  finish(): Promise<void>
}

/** One reviewer decides at most 20 holds a second: the rate limit of a key. */
const PAUSE_MS = 60

/** People who release every other hold and reject the rest, asking again after each crash. `reviewers`: a client for each. */
export function openDesk(reviewers: readonly Client[], ledger: Ledger): Desk {
  const queue: { holdId: string; notBefore: number }[] = []
  let closing = false
  let turn = 0

  async function decide(client: Client, holdId: string): Promise<void> {
    const verb = turn++ % 2 === 0 ? 'release' : 'reject'
    const { status, text } = await client.insist('POST', `/v1/holds/${holdId}/${verb}`, { body: { reason: 'looked at by a person' } })
    const answer = JSON.parse(text) as { status: string | number; hold?: { status: string } }
    // 409: somebody or something was first, and the answer says who.
    const state = status === 200 ? answer.status : status === 409 ? answer.hold?.status : undefined
    if (typeof state === 'string') ledger.deskAnswers.set(holdId, state)
    else ledger.violations.push(`${verb} of hold ${holdId}: ${status} ${text.slice(0, 200)}`)
  }

  async function work(client: Client): Promise<void> {
    for (;;) {
      const at = queue.findIndex(({ notBefore }) => notBefore <= Date.now())
      const [next] = at < 0 ? [] : queue.splice(at, 1)
      if (next) await decide(client, next.holdId)
      else if (closing && queue.length === 0) return
      await sleep(PAUSE_MS)
    }
  }

  const working = Promise.all(reviewers.map(work))
  return {
    add(holdId, notBefore = 0) { queue.push({ holdId, notBefore }) },
    async finish() {
      closing = true
      await working
    },
  }
}

/** Share of the brief hospital's holds that somebody decides in the very moment in which they run out. */
const RACES = 0.1

export interface FateOptions { desk: Desk; random: () => number; send: (event: WireEvent) => Promise<void>; patienceMs: number }

/** What becomes of a hold, by its hospital: decided by a person, left to run out, or its booking cancelled within `patienceMs`. Resolves when that is sent. */
export async function meetFate(hold: PlacedHold, { desk, random, send, patienceMs }: FateOptions): Promise<void> {
  if (hold.hospital === 'h-desk') desk.add(hold.holdId)
  if (hold.hospital === 'h-brief' && random() < RACES) desk.add(hold.holdId, hold.expiresAt - 60)
  if (hold.hospital !== 'h-quit') return
  await sleep(random() * patienceMs)
  await send({ event_id: `quit-${hold.eventId}`, type: 'booking.cancelled', occurred_at: new Date().toISOString(), order_id: hold.orderId, cancel: { by: 'patient', reason: '' } })
}
