import { DEPARTMENTS } from './names.js'
import { hash, KIND, must, opaque, Random, share } from './random.js'
import { HOUR_MS, MINUTE_MS } from './wire.js'

/** How a returned slot comes back to the pool (DOMAIN 1): at once, after 1-2 h, in an afternoon batch, never online, or by way of a state "returning". */
export type ReturnMode = 'at_once' | 'delayed' | 'batch' | 'never' | 'returning'

export interface Hospital {
  n: number
  id: string
  /** Into the day, when slots of the day `horizonDays` later become bookable. */
  releaseMs: number
  horizonDays: number
  returnMode: ReturnMode
  /** Into the day; of mode `batch`. */
  batchMs: number
  /** Shares of confirmed orders and of sessions. */
  noShows: number
  stops: number
  /** To pay within, else the order expires. */
  payMs: number
}

export interface Doctor {
  n: number
  id: string
  hospital: Hospital
  departmentId: string
  clinic: 'ordinary' | 'expert' | 'special'
  feeFen: number
  /** Bookings wanted per day, all people together. */
  demand: number
  /** Sessions per day, 0-2. */
  sessions: number
  slots: number
  /** Of the hottest 5 %: slots are gone within seconds. */
  isHot: boolean
  limits: { sex_limit: 'any' | 'M' | 'F'; age_min: number; age_max: number }
}

const RELEASE_HOURS = [0, 5, 6, 6.5, 7, 7, 7, 8, 8, 12, 15, 16]
const HORIZONS: readonly (readonly [number, number])[] = [[1, 3], [3, 6], [7, 44], [8, 16], [14, 26], [28, 4], [60, 1]]
const RETURN_MODES: readonly (readonly [ReturnMode, number])[] = [['at_once', 40], ['delayed', 24], ['batch', 16], ['never', 6], ['returning', 14]]
const HOT_SHARE = 0.05
const FEES = { ordinary: [600, 5_000], expert: [2_000, 10_000], special: [6_000, 30_000] } as const

/** Everything bookable: who works where, when and for how much. Made once, from the seed. */
export class Supply {
  readonly hospitals: readonly Hospital[]
  readonly doctors: readonly Doctor[]
  readonly hot: readonly Doctor[]
  private readonly byHospital = new Map<Hospital, Doctor[]>()

  constructor(private readonly seed: number, hospitals: number, perDay: number) {
    this.hospitals = Array.from({ length: hospitals }, (_, n) => this.hospital(n))
    const wanted = this.popularities(Math.max(hospitals * 6, Math.round(perDay / 4)))
    const all = wanted.reduce((sum, { weight }) => sum + weight, 0)
    const hotCount = Math.max(4, Math.round(wanted.length * HOT_SHARE))
    this.doctors = wanted.map((doctor, n) => this.doctor(n, doctor, perDay * doctor.weight / all, n < hotCount))
    this.hot = this.doctors.slice(0, hotCount)
    for (const doctor of this.doctors) this.byHospital.set(doctor.hospital, [...this.byHospital.get(doctor.hospital) ?? [], doctor])
  }

  colleagues(doctor: Doctor): readonly Doctor[] { return this.byHospital.get(doctor.hospital) ?? [doctor] }

  /** How many of the doctor's sessions are on a day (days since the city began): 0, 1 (one half of the day) or 2. */
  sessionsOn(doctor: Doctor, day: number): readonly ('am' | 'pm')[] {
    const dice = share(this.seed, KIND.clinicDay, doctor.n, day)
    const first = hash(this.seed, KIND.clinicDay, doctor.n, day, 1) % 3 === 0 ? 'pm' : 'am'
    if (dice < doctor.sessions - 1) return ['am', 'pm']
    return dice < doctor.sessions ? [first] : []
  }

  private hospital(n: number): Hospital {
    const random = new Random(this.seed, KIND.hospital, n)
    return {
      n, id: opaque('h', this.seed, KIND.hospital, n), releaseMs: random.pick(RELEASE_HOURS) * HOUR_MS, horizonDays: random.weighted(HORIZONS),
      returnMode: random.weighted(RETURN_MODES), batchMs: random.pick([14, 15, 16, 17]) * HOUR_MS, noShows: random.between(0.03, 0.16),
      stops: random.between(0.01, 0.1), payMs: random.pick([10, 15, 30]) * MINUTE_MS,
    }
  }

  /** Departments are heavy-tailed as measured (DOMAIN 5: rank 1, 50, 100, 200 as 13.4 : 1.9 : 0.9 : 0.1), doctors within them less so. The most wanted first. */
  private popularities(doctors: number): { hospital: Hospital; departmentId: string; weight: number }[] {
    const random = new Random(this.seed, KIND.department)
    const departments = Math.max(this.hospitals.length, Math.round(doctors / 4))
    const all = Array.from({ length: doctors }, (_, i) => {
      const department = i % departments, within = Math.floor(i / departments)
      const rank = department * 229 / departments
      const hospital = must(this.hospitals[department < this.hospitals.length ? department : hash(this.seed, KIND.department, department) % this.hospitals.length])
      return { hospital, departmentId: this.departmentName(department), weight: Math.exp(-rank / 110) / (1 + rank / 14) / (1 + within) ** 0.5 * random.between(0.7, 1.3) }
    })
    return all.sort((a, b) => b.weight - a.weight)
  }

  private departmentName(department: number): string {
    const name = must(DEPARTMENTS[hash(this.seed, KIND.department, department, 1) % DEPARTMENTS.length])
    return department < this.hospitals.length ? name : `${name}-${1 + Math.floor(department / this.hospitals.length)}`
  }

  private doctor(n: number, { hospital, departmentId }: { hospital: Hospital; departmentId: string }, demand: number, isHot: boolean): Doctor {
    const random = new Random(this.seed, KIND.doctor, n)
    const clinic = isHot ? random.weighted([['expert', 74], ['special', 26]] as const) : random.weighted([['ordinary', 50], ['expert', 40], ['special', 10]] as const)
    const usual = clinic === 'ordinary' ? random.whole(24, 50) : clinic === 'expert' ? random.whole(20, 30) : random.whole(10, 24)
    // The hot have two thirds of the slots that are wanted, the others more than enough.
    const capacity = demand * (isHot ? 0.68 : 1.75)
    const sessions = Math.min(2, Math.max(0.15, capacity / usual))
    const [low, high] = FEES[clinic]
    return {
      n, id: opaque('d', this.seed, KIND.doctor, n), hospital, departmentId, clinic, feeFen: 100 * Math.round(random.between(low, high) / 100), demand,
      sessions, slots: Math.max(4, Math.round(capacity / sessions)), isHot, limits: limitsOf(departmentId, random),
    }
  }
}

function limitsOf(department: string, random: Random): Doctor['limits'] {
  if (/^(obstetrics|gynaecology)/.test(department)) return { sex_limit: random.chance(0.5) ? 'F' : 'any', age_min: 0, age_max: 150 }
  if (/^(paediatrics|neonatology)/.test(department)) return { sex_limit: 'any', age_min: 0, age_max: random.chance(0.4) ? 18 : 150 }
  return { sex_limit: 'any', age_min: random.chance(0.1) ? 14 : 0, age_max: 150 }
}

/** Whether the doctor's clinic is for such a person. */
export function takes({ limits }: Doctor, person: { sex: 'M' | 'F'; birthDate: string }, onMs: number): boolean {
  if (limits.sex_limit !== 'any' && limits.sex_limit !== person.sex) return false
  const age = new Date(onMs).getUTCFullYear() - Number(person.birthDate.slice(0, 4))
  return age > limits.age_min && age < limits.age_max
}

export interface Order {
  id: string
  /** Asked for by these hands; the platform cancels in their name. */
  session: Session
  slot: number
  state: 'open' | 'ended'
}
/** Who has a slot: an order, somebody from before the city began, nobody while it is on its way back, or nobody at all. */
export type Holder = Order | 'elsewhere' | 'returning' | undefined

/** Half a day of a doctor. */
export interface Session {
  n: number
  id: string
  doctor: Doctor
  visitMs: number
  releasedMs: number
  holders: Holder[]
  free: number
  stopped: boolean
}

/** Between two patients of a session. */
const VISIT_EVERY_MS = 8 * MINUTE_MS
export const visitOf = (session: Session, slot: number): number => session.visitMs + slot * VISIT_EVERY_MS
export const endOf = (session: Session): number => session.visitMs + 4 * HOUR_MS

export const slotId = (seed: number, session: Session, slot: number): string => opaque('sl', seed, KIND.slot, session.n * 512 + slot)
