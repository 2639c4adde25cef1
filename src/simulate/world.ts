import { Agenda } from './agenda.js'
import { Supply } from './hospitals.js'
import { Population } from './people.js'
import { KIND, opaque, Random, share } from './random.js'
import { DAY_MS, time, type CityEvent, type Tag, type Wire } from './wire.js'

export interface CityOptions {
  /** Whole days. */
  days: number
  seed: number
  /** Booking requests a day, gangs' included, as a mean over weekdays. */
  bookingsPerDay?: number
  hospitals?: number
  /** Share of the booking requests that are gangs'; drawn from 0.016-0.032 (DOMAIN 2) when not given. */
  scalpers?: number
  /** Midnight of the first day in China, epoch milliseconds. */
  startMs?: number
}

export const DEFAULTS = { days: 14, bookingsPerDay: 3_000, hospitals: 50, startMs: Date.parse('2026-03-02T00:00:00+08:00') } as const

/** A platform of a year's standing: 350,000 users at 3,000 bookings a day (DOMAIN 5). */
const PEOPLE_PER_BOOKING = 116

/** What everybody in the city shares: its size, its clock, its people and doctors, and the pen that writes events. */
export class World {
  readonly days: number
  readonly seed: number
  readonly perDay: number
  readonly scalpers: number
  readonly startMs: number
  readonly endMs: number
  readonly agenda: Agenda
  readonly people: Population
  readonly supply: Supply
  /** Events written and not yet handed out. */
  readonly out: CityEvent[] = []
  /** Requests written so far: those who plan by the day keep to their share with it. */
  readonly requests = { legit: 0, scalper: 0 }
  private events = 0
  private serials = new Map<number, number>()

  constructor(options: CityOptions) {
    this.days = options.days
    this.seed = options.seed
    this.perDay = options.bookingsPerDay ?? DEFAULTS.bookingsPerDay
    this.scalpers = options.scalpers ?? 0.016 + 0.016 * share(options.seed, KIND.city, 1)
    this.startMs = options.startMs ?? DEFAULTS.startMs
    this.endMs = this.startMs + options.days * DAY_MS
    this.agenda = new Agenda(this.startMs)
    this.people = new Population(this.seed, Math.max(4_000, this.perDay * PEOPLE_PER_BOOKING), this.startMs)
    this.supply = new Supply(this.seed, options.hospitals ?? DEFAULTS.hospitals, this.perDay)
  }

  get now(): number { return this.agenda.now }
  at(ms: number, act: () => void): void { this.agenda.plan(ms, act) }
  random(...keys: readonly number[]): Random { return new Random(this.seed, ...keys) }
  /** The next id of a kind. */
  nextId(prefix: string, kind: number): string {
    const n = (this.serials.get(kind) ?? 0) + 1
    this.serials.set(kind, n)
    return opaque(prefix, this.seed, kind, n)
  }

  /** Writes an event that happens now. `tag`: of a request, who is behind it. */
  emit(type: string, members: Wire, key?: string, tag?: Tag): void {
    const id = opaque('e', this.seed, KIND.event, ++this.events)
    const event = { event_id: id, type, occurred_at: time(this.now), ...members }
    if (tag === undefined) {
      this.out.push({ at: this.now, key: key ?? id, event })
      return
    }
    const isScalper = 'tactic' in tag
    this.requests[isScalper ? 'scalper' : 'legit']++
    this.out.push({ at: this.now, key: key ?? id, event, label: { event_id: id, label: isScalper ? 'scalper' : 'legit', ...tag } })
  }
}
