import { checksumOf } from '../../src/scoring/identity.js'

/**
 * A city's release minute, from a seed: the slots of 60 wanted doctors open at one instant, and everybody asks. Patients come
 * heavy-tailed from 100,000; families share an account; phone callers have no device, kiosks no account; carriers put many
 * behind one network; 2.5 % of the bookings are a gang's. Every person is made up: an ID number only carries a valid checksum.
 */
export interface Wave {
  seed: number
  /** Names the orders; the people and the doctors stay the same from wave to wave. */
  wave: number
  /** The instant of release, epoch milliseconds. */
  startMs: number
  bookings: number
  /** The bookings fall into this time, most of them early. */
  spreadMs: number
}

/** `key`: the schedule it is about, which CONTRACT section 1 recommends as the message's key; its own id where there is none. */
export interface WireEvent { at: number; scored: boolean; json: string; id: string; key: string }

const [SECOND, DAY] = [1_000, 86_400_000]
const [PATIENTS, HOT_SCHEDULES, QUIET_SCHEDULES, GANGS] = [100_000, 60, 1_500, 12]
const REGIONS = ['110101', '120103', '130203', '210102', '310104', '320106', '330106', '370202', '410105', '420106', '440305', '510107']
const FAMILY_NAMES = '王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高'
const GIVEN_NAMES = '伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英'
const RELATIONS = ['self', 'spouse', 'child', 'parent'] as const

/** Mulberry32: the same numbers in [0, 1) from the same seed. */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Everything that happens around the bookings of one wave, by time. */
export function releaseMinute(wave: Wave): WireEvent[] {
  const city = new City(wave)
  for (let n = 0; n < wave.bookings; n++) city.book(n)
  return city.events.sort((a, b) => a.at - b.at)
}

type Member = Record<string, unknown>
interface Asked { orderId: string; at: number; slot: Member; channel: Member; rest: Member }

class City {
  readonly events: WireEvent[] = []
  private readonly random: () => number
  private serial = 0
  private readonly nextSlot = new Map<string, number>()

  constructor(private readonly wave: Wave) { this.random = seeded(wave.seed + wave.wave * 7919) }

  book(n: number): void {
    if (this.chance(0.025)) this.gangBooking(n)
    else this.citizenBooking(n)
  }

  private citizenBooking(n: number): void {
    const { startMs, spreadMs } = this.wave
    const patient = Math.floor(PATIENTS * this.random() ** 2.2)
    // People press the button when the minute begins: half of them within its first fifth.
    const at = startMs + Math.floor(spreadMs * this.random() ** 2.3) + 150
    const asked: Asked = { orderId: this.name('o'), at, slot: this.slot(this.chance(0.6)), ...this.channelOf(patient, at) }
    asked.rest['patient'] = personOf(patient, { relation: RELATIONS[patient & 3], bound_at: time(startMs - ((patient * 37) % 900 + 1) * DAY) })
    if (this.chance(0.3) && asked.rest['account']) this.push('slot.queried', at - 1_500, { account: asked.rest['account'], slot: asked.slot, device: asked.rest['device'] })
    this.request(asked)
    if (this.chance(0.015) && asked.rest['account']) this.verified(asked)
    this.outcomeOf(asked, n)
  }

  /** Sequential IDs, one payer, farmed devices in a data centre, patients bound minutes ago; some hand a slot on. */
  private gangBooking(n: number): void {
    const { startMs, spreadMs, wave } = this.wave
    const gang = Math.floor(GANGS * this.random() ** 1.5), member = Math.floor(this.random() * 60)
    const at = startMs + Math.floor(spreadMs * 0.5 * this.random() ** 4) + 40
    const client = PATIENTS + gang * 4_000 + (n % 4_000)
    const rest: Member = {
      account: { id: `a-gang-${gang}-${member % 25}`, registered_at: time(startMs - (5 + member) * DAY) },
      device: { id: `dv-gang-${gang}-${member % 8}`, model: 'M2012', os: 'android 11', app_version: '5.2.1', emulator: gang % 3 === 0, rooted: gang % 2 === 0 },
      network: { ip: `45.${gang + 10}.${member % 4}.${member}`, proxy: gang % 4 === 1, datacenter: gang % 3 === 0 },
      session: { id: this.name('ss'), opened_at: time(at - 900 - member * 20), page_views: 1, captcha_ms: 350 + member * 8 },
      payer: { id: `p-gang-${gang}-${member % 3}` },
      patient: personOf(client, { relation: member % 2 === 0 ? 'other' : 'helper', bound_at: time(at - (member + 1) * 9 * SECOND) }),
    }
    const asked: Asked = { orderId: this.name('o'), at, slot: this.slot(true), channel: { id: 'wechat', kind: 'mini_program' }, rest }
    this.request(asked)
    if (this.chance(0.2)) this.handOff(asked, PATIENTS + gang * 4_000 + ((n + wave + 2_000) % 4_000))
    else this.outcomeOf(asked, n)
  }

  /** Given back, re-released, and taken at once by the buyer from the gang's own account. */
  private handOff(from: Asked, buyer: number): void {
    const backAt = from.at + 4_000 + Math.floor(this.random() * 20_000)
    this.push('booking.confirmed', from.at + 900, { order_id: from.orderId }, from.slot)
    this.push('booking.cancelled', backAt, { order_id: from.orderId, cancel: { by: 'patient', reason: 'other' } }, from.slot)
    this.push('schedule.released', backAt + 50, { slot: from.slot, count: 1, re_release: true })
    const patient = personOf(buyer, { relation: 'helper', bound_at: time(backAt - 60 * SECOND) })
    this.request({ ...from, orderId: this.name('o'), at: backAt + 400 + Math.floor(this.random() * 1_500), rest: { ...from.rest, patient } })
  }

  /** A check passed, and the same order asked for once more. */
  private verified(asked: Asked): void {
    const at = asked.at + 6_000
    this.push('verification.passed', at, { account: asked.rest['account'], device: asked.rest['device'], verification: { kind: 'face' } })
    this.request({ ...asked, at: at + 300 })
  }

  private outcomeOf({ orderId, at, slot }: Asked, n: number): void {
    if (n % 10 >= 7) return
    this.push('booking.confirmed', at + 800 + (n % 7) * 100, { order_id: orderId }, slot)
    if (this.chance(0.75)) this.push('booking.paid', at + 20 * SECOND, { order_id: orderId }, slot)
    else this.push('booking.expired', at + 50 * SECOND, { order_id: orderId }, slot)
    if (this.chance(0.05)) this.push('booking.cancelled', at + 30 * SECOND, { order_id: orderId, cancel: { by: 'patient', reason: 'changed plans' } }, slot)
  }

  private request({ orderId, at, slot, channel, rest }: Asked): void {
    this.push('booking.requested', at, { order_id: orderId, channel, slot, ...rest })
  }

  private push(type: string, at: number, members: Member, slot = members['slot'] as Member | undefined): void {
    const id = this.name('e'), schedule = slot?.['schedule_id']
    const json = JSON.stringify({ event_id: id, type, occurred_at: time(at), ...members })
    this.events.push({ at, scored: type === 'booking.requested', json, id, key: typeof schedule === 'string' ? schedule : id })
  }

  /** The next free place of a schedule: a slot is asked for again only after it was given back. */
  private slot(hot: boolean): Member {
    const { wave, startMs } = this.wave
    const doctor = hot ? Math.floor(HOT_SCHEDULES * this.random()) : HOT_SCHEDULES + Math.floor(QUIET_SCHEDULES * this.random() ** 1.5)
    const schedule = `s-${wave}-d${doctor}-am`
    const place = (this.nextSlot.get(schedule) ?? 0) + 1
    this.nextSlot.set(schedule, place)
    return {
      hospital_id: `h-${String(doctor % 30).padStart(3, '0')}`, department_id: `dept-${doctor % 200}`, doctor_id: `d-${doctor}`,
      clinic: hot ? (doctor % 3 === 0 ? 'special' : 'expert') : 'ordinary', schedule_id: schedule, slot_id: `${schedule}-${place}`,
      visit_at: time(startMs + 7 * DAY + 2 * 3_600_000), released_at: time(hot ? startMs : startMs - 3 * DAY), fee_fen: hot ? 10_000 : 2_500,
      sex_limit: 'any', age_min: 0, age_max: 150,
    }
  }

  /** How a person comes in, and what is known by it: phones have no device, kiosks and windows no account. */
  private channelOf(patient: number, at: number): { channel: Member; rest: Member } {
    const dice = (patient * 2_654_435_761) % 100
    const household = patient >> 1
    if (dice < 8) return { channel: { id: '12580', kind: 'phone' }, rest: { operator: { id: `op-${patient % 90}`, seat: `12580-${patient % 90}` }, payer: { id: `p-${household}` } } }
    if (dice < 12) return { channel: { id: 'lobby', kind: 'kiosk' }, rest: { device: { id: `kiosk-${patient % 300}`, model: 'K-20', os: 'linux' }, payer: { id: `p-${household}` } } }
    if (dice < 14) return { channel: { id: 'counter', kind: 'window' }, rest: { operator: { id: `win-${patient % 60}`, seat: `w-${patient % 60}` } } }
    const [id, kind] = dice < 60 ? ['wechat', 'mini_program'] : dice < 85 ? ['app', 'app'] : ['site', 'web']
    return { channel: { id, kind }, rest: {
      account: { id: `a-${household}`, registered_at: time(this.wave.startMs - ((household * 13) % 2_000 + 30) * DAY) },
      device: { id: `dv-${household}-${patient & 1}`, model: `M${2000 + household % 60}`, os: 'android 13', app_version: '5.2.1', emulator: false, rooted: household % 150 === 0 },
      network: { ip: ipOf(household), proxy: household % 70 === 0, datacenter: false },
      session: { id: this.name('ss'), opened_at: time(at - 4_000 - Math.floor(this.random() * 90_000)), page_views: 2 + Math.floor(this.random() * 8), captcha_ms: 1_200 + Math.floor(this.random() * 4_000) },
      payer: { id: `p-${household}` },
    } }
  }

  private name(kind: string): string { return `${kind}-${this.wave.seed}-${this.wave.wave}-${++this.serial}` }
  private chance(share: number): boolean { return this.random() < share }
}

/** A third sit behind one of forty carrier networks. */
const ipOf = (household: number): string => household % 3 === 0
  ? `117.136.${household % 40}.${(household >> 6) % 250}`
  : `112.${(household >> 14) & 63}.${(household >> 7) & 127}.${household & 127}`

/** The same number is always the same person. Gangs' clients (from 100,000) have IDs in sequence: one birth date, next serial. */
function personOf(n: number, binding: Member): Member {
  const day = n < PATIENTS ? (n * 7_919) % 28_000 : 17_000 + Math.floor((n - PATIENTS) / 400)
  const serial = n < PATIENTS ? Math.floor(n / 28_000) * 97 + (n % 97) : (n - PATIENTS) % 400 + 500
  const birth = new Date(Date.UTC(2018, 0, 1) - day * DAY).toISOString().slice(0, 10)
  const body = `${REGIONS[n % REGIONS.length] ?? ''}${birth.replaceAll('-', '')}${String(serial).padStart(3, '0')}`
  return {
    id_type: '01', id_number: body + checksumOf(body), name: letterOf(FAMILY_NAMES, n) + letterOf(GIVEN_NAMES, n >> 4) + letterOf(GIVEN_NAMES, n >> 8),
    phone: `1${['38', '59', '86', '77', '70'][n % 23 === 0 ? 4 : n % 4] ?? ''}${String(10_000_000 + (n * 7_919) % 90_000_000)}`,
    sex: serial % 2 === 1 ? 'M' : 'F', birth_date: birth, ...binding,
  }
}

const letterOf = (letters: string, n: number): string => letters.charAt(n % letters.length)

/** RFC 3339 in China's time. */
const time = (ms: number): string => `${new Date(ms + 8 * 3_600_000).toISOString().slice(0, -1)}+08:00`
