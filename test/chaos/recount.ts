import type { Client } from '../support/client.js'
import { liveEngine, shippedRulebook } from '../support/engine.js'
import { pick } from '../support/people.js'
import type { WireEvent } from '../support/traffic.js'
import type { Ledger } from './ledger.js'

/** `saturated`: features that come of a full log and are estimates, on both sides. */
interface Seen { features: Readonly<Record<string, unknown>>; saturated: readonly string[] }

/** A probe whose features are not those of a recount. `after`: the event it asks about. */
export interface Miscounted { after: string; what: string }

const NOTHING: Seen = { features: {}, saturated: [] }
const DAY_MS = 86_400_000
const PROBES_PER_ROUND = 12

/**
 * Bookings that ask what the product has counted: each about the patient, account, device, payer, address and slot of an earlier one.
 * A fresh engine with counters in memory is given every event once, in the order of their times, then the same probes: every feature
 * must be the same, and any event that was counted twice, or not at all, makes one differ.
 */
export async function recount(client: Client, reviewer: Client, ledger: Ledger, rounds: readonly (readonly string[])[], random: () => number): Promise<{ probes: number; miscounted: Miscounted[] }> {
  const events = [...ledger.sent.values()].sort((a, b) => Date.parse(a.occurred_at) - Date.parse(b.occurred_at))
  const probes = rounds.flatMap((requests, round) => Array.from({ length: Math.min(PROBES_PER_ROUND, requests.length) }, (_, n) => {
    const earlier = ledger.sent.get(pick(random, requests))
    if (!earlier) throw new Error('a probe asks about an event that was sent')
    return { after: earlier.event_id, event: probeOf(earlier, `${round}-${n}`) }
  }))
  const found: Seen[] = []
  for (const { event } of probes) {
    // In this order: each is counted before the next is asked.
    await client.insist('POST', '/v1/score', { body: event })
    ledger.noteSent(event)
    const { text } = await reviewer.insist('GET', `/v1/decisions/${event.event_id}`)
    found.push((JSON.parse(text) as { review?: Seen }).review ?? NOTHING)
  }
  const wanted = await recountHere(events, probes.map(({ event }) => event))
  const miscounted = probes.flatMap(({ after, event }, n) => {
    const differing = differences(found[n] ?? NOTHING, wanted[n] ?? NOTHING)
    return differing.length === 0 ? [] : [{ after, what: `${event.event_id} about ${after}: ${differing.join(', ')}` }]
  })
  return { probes: probes.length, miscounted }
}

function probeOf(earlier: WireEvent, id: string): WireEvent {
  return { ...earlier, event_id: `e-probe-${id}`, order_id: `o-probe-${id}`, occurred_at: new Date().toISOString() }
}

async function recountHere(events: readonly WireEvent[], probes: readonly WireEvent[]): Promise<Seen[]> {
  const window = { notAfter: Date.now() + DAY_MS, notBefore: 0 }
  const { engine, journal } = await liveEngine(await shippedRulebook(), Date.now(), { accepted: () => window })
  const seen: Seen[] = []
  for (const event of events) await engine.process({ body: JSON.stringify(event) })
  for (const probe of probes) {
    await engine.process({ body: JSON.stringify(probe) })
    const record = await journal.find(probe.event_id)
    seen.push(record?.review ? JSON.parse(JSON.stringify(record.review)) as Seen : NOTHING)
  }
  return seen
}

/** Whom others were suspected of being follows from what was decided, and a decision made without counters stands: a recount would decide it otherwise. */
const RESTS_ON_DECISIONS = /_suspect(s|ed)_/

function differences(found: Seen, wanted: Seen): string[] {
  const estimates = new Set([...found.saturated, ...wanted.saturated])
  const names = [...new Set([...Object.keys(found.features), ...Object.keys(wanted.features)])].filter((name) => !estimates.has(name) && !RESTS_ON_DECISIONS.test(name))
  const differing = names.filter((name) => found.features[name] !== wanted.features[name])
  return differing.map((name) => `${name} is ${String(found.features[name])}, a recount says ${String(wanted.features[name])}`)
}
