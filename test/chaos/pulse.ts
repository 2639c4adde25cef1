import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '../support/client.js'
import type { OutsideKafka } from '../support/outside-kafka.js'
import { somebody } from '../support/people.js'
import type { WireEvent } from '../support/traffic.js'
import type { Ledger } from './ledger.js'

/** From a fault to the first undegraded answer of any process, and until all roads are as before; seconds. Undefined: it never was. */
export interface Recovery { firstS: number | undefined; wholeS: number | undefined }

/** One booking a moment on each road, to feel how the product is. */
export interface Pulse {
  /** A decision was read from the topic. */
  seen(eventId: string, bytes: string): void
  /** True when nothing was wrong on any road for the last seconds. */
  isWell(): boolean
  since(faultMs: number): Recovery
  stop(): Promise<void>
}

export interface PulseOptions {
  /** One for each API process. */
  apis: readonly Client[]
  kafka: OutsideKafka
  ledger: Ledger
  random: () => number
  /** Sends an event that got no answer until it is taken, as a platform would. */
  insist: (event: WireEvent) => void
  onFault: (text: string) => void
}

/** One try. `endMs` is missing while it is under way; `good`: decided, undegraded, in time. */
interface Beat { road: string; startMs: number; endMs?: number; good?: boolean }

const EVERY_MS = 150
const WELL_FOR_MS = 3_000
/** A decision that comes later than this after its event was handed over is late: the stream is not well. */
const LATE_MS = 2_000
const isDegraded = (bytes: string): boolean => !bytes.includes('"degraded":[]')

export function startPulse({ apis, kafka, ledger, random, insist, onFault }: PulseOptions): Pulse {
  const beats: Beat[] = []
  const onTopic = new Map<string, Beat>()
  const ending = new AbortController()
  let count = 0

  function nextEvent(): WireEvent {
    const id = `pulse-${++count}`
    const now = Date.now()
    const iso = (ms: number): string => new Date(now + ms).toISOString()
    const person = somebody(random)
    const address = Array.from({ length: 3 }, () => 1 + Math.floor(random() * 250)).join('.')
    const slot = {
      hospital_id: 'h-rest', department_id: `dp-${count % 9}`, doctor_id: `d-pulse-${count % 90}`, clinic: 'ordinary', schedule_id: `s-pulse-${count % 90}`, slot_id: `s-${id}`,
      visit_at: iso(7 * 86_400_000), released_at: iso(-2 * 86_400_000), fee_fen: 2_000,
    }
    return {
      event_id: `e-${id}`, type: 'booking.requested', occurred_at: iso(0), order_id: `o-${id}`, channel: { id: 'app', kind: 'app' },
      account: { id: `a-${id}`, registered_at: iso(-400 * 86_400_000) }, device: { id: `dv-${id}`, model: `M${count % 30}`, os: 'android 14' },
      network: { ip: `11.${address}`, proxy: false, datacenter: false },
      patient: {
        id_type: '01', id_number: person.idNumber, name: person.name, phone: person.phone, sex: person.sex, birth_date: person.birthDate, relation: 'self', bound_at: iso(-300 * 86_400_000),
      },
      slot,
      payer: { id: `pay-${id}` }, session: { id: `ss-${id}`, opened_at: iso(-90_000), page_views: 6, captcha_ms: 2_500 },
    }
  }

  async function call(client: Client, road: string): Promise<void> {
    const event = nextEvent()
    ledger.noteSent(event)
    const beat: Beat = { road, startMs: Date.now() }
    beats.push(beat)
    const answer = await client.call('POST', '/v1/score', { body: event }).catch(() => undefined)
    beat.endMs = Date.now()
    beat.good = answer?.status === 200 && !isDegraded(answer.text)
    if (answer?.status === 200) ledger.noteDecision('http', event.event_id, answer.text)
    else {
      if (answer && answer.status < 500 && answer.status !== 429) onFault(`${event.event_id} over HTTP: ${answer.status} ${answer.text.slice(0, 300)}`)
      insist(event)
    }
  }

  async function send(): Promise<void> {
    const event = nextEvent()
    ledger.noteSent(event)
    const beat: Beat = { road: 'topic', startMs: Date.now() }
    beats.push(beat)
    onTopic.set(event.event_id, beat)
    await kafka.send('booking-events', [{ key: String(random()), value: JSON.stringify(event) }])
    // While the broker is away the sender waits, not the product.
    if (beat.endMs === undefined) beat.startMs = Date.now()
  }

  const loop = async (beat: () => Promise<void>): Promise<void> => {
    while (!ending.signal.aborted) {
      await beat().catch((fault: unknown) => { onFault(`a pulse could not be sent: ${String(fault)}`) })
      await sleep(EVERY_MS, undefined, { signal: ending.signal }).catch(() => undefined)
    }
  }
  const loops = Promise.all([...apis.map((client, n) => loop(() => call(client, `api ${n}`))), loop(send)])

  /** How a beat stands now: one that is late already need not be waited for. */
  const stateOf = ({ startMs, endMs, good }: Beat): 'good' | 'bad' | 'open' =>
    endMs === undefined ? (Date.now() - startMs > LATE_MS ? 'bad' : 'open') : good === true ? 'good' : 'bad'

  return {
    seen(eventId, bytes) {
      const beat = onTopic.get(eventId)
      if (beat === undefined) return
      onTopic.delete(eventId)
      beat.endMs = Date.now()
      beat.good = !isDegraded(bytes) && beat.endMs - beat.startMs <= LATE_MS
    },
    isWell() {
      const recent = beats.filter(({ startMs, endMs }) => (endMs ?? Date.now()) > Date.now() - WELL_FOR_MS && startMs > Date.now() - 10 * WELL_FOR_MS)
      return new Set(recent.map(({ road }) => road)).size === apis.length + 1 && recent.every((beat) => stateOf(beat) !== 'bad') && beats.every((beat) => beat.endMs !== undefined || stateOf(beat) === 'open')
    },
    since(faultMs) {
      const later = beats.filter(({ startMs, endMs }) => startMs >= faultMs || endMs === undefined || endMs >= faultMs)
      const first = later.filter((beat) => beat.road !== 'topic' && beat.startMs >= faultMs && stateOf(beat) === 'good').map(({ endMs = 0 }) => endMs)
      const bad = later.filter((beat) => stateOf(beat) === 'bad')
      const ends = bad.map(({ endMs }) => endMs)
      return {
        firstS: first.length === 0 ? undefined : (Math.min(...first) - faultMs) / 1_000,
        wholeS: ends.includes(undefined) ? undefined : (Math.max(faultMs, ...ends.map((end) => end ?? 0)) - faultMs) / 1_000,
      }
    },
    async stop() {
      ending.abort()
      await loops
    },
  }
}
