/**
 * Velocity alone: time per event over a release minute, memory after 30 days of a city, time to save and load.
 * Run: npx tsc -p tsconfig.test.json --noEmit false --outDir /tmp/zhenhao-bench && node /tmp/zhenhao-bench/test/bench/velocity.js [bookings]
 */
import { readFileSync } from 'node:fs'
import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import type { BookingEvent } from '../../src/domain/event.js'
import { parseCounters } from '../../src/scoring/counters.js'
import { observe } from '../../src/scoring/observe.js'
import { layoutOf, planVelocity } from '../../src/scoring/plan.js'
import { tokenOf } from '../support/event-streams.js'

const { counters } = parseCounters('rules/counters.yaml', readFileSync('rules/counters.yaml', 'utf8'))
const plan = planVelocity(counters)
const [MINUTE, DAY] = [60_000, 86_400_000]
const START = Date.UTC(2026, 9, 1, 23)

/** Mulberry32: the same city every time. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Person { patient: number; schedule: number; slot: number; ip: string }

/** A request with every field there is. */
function request(n: number, at: number, { patient, schedule, slot, ip }: Person): BookingEvent {
  return {
    eventId: `e-${n}`, type: 'booking.requested', occurredAt: at, orderId: `o-${n}`, channel: { id: n % 3 === 0 ? 'app' : 'wechat', kind: 'app' },
    account: { token: tokenOf(`account ${patient}`), registeredAt: at - 90 * DAY },
    patient: {
      token: tokenOf(`patient ${patient}`), idType: '01', name: { token: tokenOf(`name ${patient}`), valid: true }, sex: 'M', age: 40, relation: 'self',
      phone: { token: tokenOf(`phone ${patient}`), prefixToken: tokenOf(`phone prefix ${patient % 500}`), virtualOperator: false, valid: true },
      id: { possible: true, checksumValid: true, prefixToken: tokenOf(`id prefix ${patient >> 1}`), province: '11', sexAgrees: true },
    },
    slot: {
      hospitalId: `h-${schedule % 50}`, departmentId: `d-${schedule % 200}`, doctorId: `dr-${schedule % 950}`, scheduleId: `s-${schedule}`, slotId: `s-${schedule}-${slot}`,
      clinic: 'expert', feeFen: 5_000, releasedAt: at - 1_000, visitAt: at + 7 * DAY,
    },
    device: { token: tokenOf(`device ${patient}`) }, network: { ipToken: tokenOf(ip), prefixToken: tokenOf(`prefix of ${ip}`) }, payer: { token: tokenOf(`payer ${patient}`) },
    session: { openedAt: at - 20_000, pageViews: 4 },
  }
}

/** What becomes of an order within its first minutes. */
const pick = (dice: number): 'booking.confirmed' | 'booking.paid' | 'booking.expired' | 'booking.cancelled' =>
  dice < 0.55 ? 'booking.confirmed' : dice < 0.92 ? 'booking.paid' : dice < 0.94 ? 'booking.expired' : 'booking.cancelled'

/** `minute` 1 is the same crowd again, a minute later. */
function* releaseMinute(count: number, minute: number, random: () => number): Generator<BookingEvent> {
  const asked: string[] = []
  for (let n = 0; n < count; n++) {
    const at = START + Math.floor((minute + n / count) * MINUTE)
    const dice = random()
    const patient = Math.floor(random() * 3_000)
    const own = { eventId: `e-${minute}-${n}`, orderId: `o-${minute}-${n}` }
    if (dice < 0.6 || asked.length === 0) {
      const ip = random() < 0.3 ? `nat ${n % 4}` : `ip ${patient}`
      yield { ...request(n, at, { patient, schedule: Math.floor(random() * 40), slot: Math.floor(random() * 30), ip }), ...own }
      asked.push(own.orderId)
    } else if (dice < 0.85) {
      const type = pick(random())
      const orderId = asked[Math.floor(random() * asked.length)] ?? ''
      yield { eventId: own.eventId, type, occurredAt: at, orderId, ...(type === 'booking.cancelled' ? { cancel: { by: 'patient' as const } } : {}) }
    } else yield { eventId: own.eventId, type: 'slot.queried', occurredAt: at, account: { token: tokenOf(`account ${patient}`) } }
  }
}

/** Microseconds per event, by what it is: median, 99th percentile, and the mean in CPU time (others may share the machine). */
function measure(store: MemoryVelocityStore, events: Iterable<BookingEvent>): Record<string, string> {
  const spent = new Map<string, number[]>()
  const cpu = process.cpuUsage(), wall = performance.now()
  for (const made of events) {
    // As it comes from the door: parsed a moment ago.
    const event = JSON.parse(JSON.stringify(made)) as BookingEvent
    const kind = event.type === 'booking.requested' ? 'request' : event.type.startsWith('booking.') ? 'lifecycle' : 'other'
    const before = process.hrtime.bigint()
    store.run(observe(plan, event))
    const us = Number(process.hrtime.bigint() - before) / 1_000
    const all = spent.get(kind)
    if (all) all.push(us)
    else spent.set(kind, [us])
  }
  const { user, system } = process.cpuUsage(cpu)
  const share = Math.min(1, (user + system) / 1_000 / (performance.now() - wall))
  return Object.fromEntries([...spent].map(([kind, all]) => {
    all.sort((a, b) => a - b)
    const at = (quantile: number): string => (all[Math.floor(all.length * quantile)] ?? 0).toFixed(1)
    const mean = all.reduce((a, b) => a + b, 0) / all.length
    return [kind, `${(mean * share).toFixed(1)} us CPU, p50 ${at(0.5)}, p99 ${at(0.99)} (x ${all.length})`]
  }))
}

/** Thirty days of bookings: a third of them by people who come again, 950 doctors, a tenth from 200 shared addresses. */
function* city(bookings: number, random: () => number): Generator<BookingEvent> {
  for (let n = 0; n < bookings; n++) {
    const at = START + Math.floor((n / bookings) * 30 * DAY)
    const patient = Math.floor(random() ** 1.5 * bookings * 0.6)
    const schedule = Math.floor(at / DAY) * 950 + Math.floor(random() ** 2 * 950)
    const ip = random() < 0.1 ? `nat ${Math.floor(random() * 200)}` : `ip ${Math.floor(patient / 2)}`
    yield request(n, at, { patient, schedule, slot: n, ip })
    const id = { orderId: `o-${n}` }
    yield { eventId: `c-${n}`, type: 'booking.confirmed', occurredAt: at + 1_000, ...id }
    yield { eventId: `p-${n}`, type: 'booking.paid', occurredAt: at + MINUTE, ...id }
    if (random() < 0.26) yield { eventId: `x-${n}`, type: 'booking.cancelled', occurredAt: at + DAY, ...id, cancel: { by: 'patient' } }
    else yield { eventId: `a-${n}`, type: 'booking.attended', occurredAt: at + 7 * DAY, ...id }
  }
}

/** CPU nanoseconds for one put into a Map of objects, to compare other figures with. */
function yardstickNs(): number {
  const turns = 2_000_000, cpu = process.cpuUsage()
  const map = new Map<number, { n: number }>()
  for (let i = 0; i < turns; i++) map.set((i * 2_654_435_761) % 100_003, { n: i })
  const { user, system } = process.cpuUsage(cpu)
  return ((user + system) * 1_000) / turns
}

console.log(`yardstick: ${yardstickNs().toFixed(2)} ns for one Map.set`)
const store = new MemoryVelocityStore({ layout: layoutOf(plan) })
const random = seeded(7)
for (const minute of [0, 1, 2]) console.log(`release minute ${minute + 1}:`, measure(store, releaseMinute(60_000, minute, random)))

const bookings = Number(process.argv[2] ?? 300_000)
const town = new MemoryVelocityStore({ layout: layoutOf(plan) })
const began = performance.now()
const cpu = process.cpuUsage()
let events = 0, slowestMs = 0
for (const event of city(bookings, seeded(11))) {
  const before = performance.now()
  town.run(observe(plan, event))
  slowestMs = Math.max(slowestMs, performance.now() - before)
  events++
}
const { entities, bytes } = town.size
console.log(`city: ${events} events in ${((performance.now() - began) / 1_000).toFixed(1)} s (CPU ${(process.cpuUsage(cpu).user / 1e6).toFixed(1)} s), ${entities} entities, ${(bytes / entities).toFixed(0)} bytes each, ` +
  `${(bytes / bookings).toFixed(0)} per booking, slowest event ${slowestMs.toFixed(1)} ms`)

const t0 = performance.now()
const { head, pages } = town.snapshot()
const t1 = performance.now()
let longestMs = 0
const saved: Uint32Array[] = []
for (;;) {
  const before = performance.now()
  const next = pages.next()
  longestMs = Math.max(longestMs, performance.now() - before)
  if (next.done === true) break
  saved.push(next.value)
}
const t2 = performance.now()
const restored = new MemoryVelocityStore({ layout: layoutOf(plan) })
restored.restore(head, saved)
console.log(`snapshot: head ${(t1 - t0).toFixed(1)} ms, ${saved.length} pages, longest ${longestMs.toFixed(2)} ms; restore ${(performance.now() - t2).toFixed(0)} ms; ` +
  `head as JSON ${(JSON.stringify(head).length / 1_000).toFixed(0)} kB`)
