import type { Hospital } from './hospitals.js'
import { HOUSEHOLD } from './people.js'
import { hash, KIND, must, opaque, Random, share } from './random.js'
import { DAY_MS, SECOND_MS, type Account, type Channel, type Device, type Hand, type Network, type Sitting } from './wire.js'
import type { World } from './world.js'

/** Beyond every person's number: what belongs to gangs, village clinics and the like is numbered from here, and looks the same. */
export const OTHERS = 2 ** 29

/** How the page is used, from its opening to the submit. */
export type Pace =
  | 'human'    // 20-90 s (DOMAIN 5)
  | 'quick'    // autofill: 2-6 s
  | 'reflex'   // a favourite: a second or two
  | 'waiting'  // opened minutes before the release

const ONLINE: readonly (readonly [Channel, number])[] = [
  [{ id: 'wechat', kind: 'mini_program' }, 40], [{ id: 'alipay', kind: 'mini_program' }, 12], [{ id: 'app', kind: 'app' }, 36], [{ id: 'site', kind: 'web' }, 12],
]
const PHONE_LINES: readonly Channel[] = [{ id: '114', kind: 'phone' }, { id: '12580', kind: 'phone' }, { id: '12320', kind: 'phone' }]
const PARTNERS = 4
/** People among whom one signs in for the others. */
const STREET = 400
const MODELS = 140
const APP_VERSIONS = ['5.2.1', '5.2.1', '5.2.1', '5.2.0', '5.1.8', '5.1.3', '4.9.7'] as const

/** How anybody reaches the platform: one way to make accounts, devices and addresses, for patients and gangs alike. */
export class Reach {
  private readonly networks: number
  private readonly nats: number
  private readonly seats: number

  constructor(private readonly world: World) {
    this.networks = Math.max(12, Math.round(world.people.size / 1_200))
    this.nats = Math.max(2, Math.round(world.perDay / 90))
    this.seats = Math.max(3, Math.round(world.perDay / 350))
  }

  account(n: number): Account { return { id: opaque('a', this.world.seed, KIND.account, n), registeredAt: this.registeredAt(n) } }

  device(n: number): Device {
    const random = this.world.random(KIND.device, n)
    const model = Math.floor(MODELS * random.next() ** 1.8)
    return this.deviceOf(n, model, random)
  }

  /** A device of a given model, as farms buy them by the dozen. */
  deviceOf(n: number, model: number, random: Random): Device {
    const isApple = model % 5 === 1
    const os = isApple ? `ios ${random.pick(['16.7', '17.5', '18.1', '18.3'])}` : `android ${random.pick(['11', '12', '13', '13', '14', '15'])}`
    return {
      id: opaque('dv', this.world.seed, KIND.device, n), model: modelName(model, isApple), os, app_version: random.pick(APP_VERSIONS),
      emulator: random.chance(0.004), rooted: random.chance(isApple ? 0.004 : 0.018),
    }
  }

  /** An address in one of the city's /24 networks. */
  address(network: number, host: number): string {
    const net = hash(this.world.seed, KIND.network, network % this.networks)
    return `${must(FIRST_BYTES[net % FIRST_BYTES.length])}.${(net >>> 8) % 256}.${(net >>> 16) % 256}.${1 + host % 254}`
  }

  /** At home, or somewhere on the road on an address of the moment. */
  network(holder: number, random: Random): Network {
    const home = hash(this.world.seed, KIND.household, holder - holder % 4, 2)
    const isHome = random.chance(0.72)
    const ip = isHome ? this.address(home, home >>> 9) : this.address(random.below(this.networks), random.below(254))
    return { ip, proxy: random.chance(0.012), datacenter: random.chance(0.003) }
  }

  /** A carrier's address that thousands share. */
  nat(random: Random): Network { return { ip: this.shared(KIND.nat, Math.floor(this.nats * random.next() ** 1.5)), proxy: false, datacenter: false } }
  wifi(hospital: Hospital): Network { return { ip: this.shared(KIND.wifi, hospital.n), proxy: false, datacenter: false } }

  channel(random: Random): Channel { return random.weighted(ONLINE) }
  partner(n: number): Channel { return { id: opaque('pt', this.world.seed, KIND.partner, n % PARTNERS), kind: 'partner' } }

  /** A person's own phone or computer. Some pay at the hospital: no payer is known. */
  online(holder: number, random: Random, channel = this.channel(random)): Hand {
    return {
      channel, account: this.account(holder), device: this.device(this.deviceOfHolder(holder, random)), network: this.network(holder, random),
      ...(random.chance(0.82) && { payer: this.payer(holder) }),
    }
  }

  /**
   * One's own, or a second one; in some households one phone serves several accounts, and on some streets somebody signs in for
   * those who cannot.
   */
  private deviceOfHolder(holder: number, random: Random): number {
    const { seed } = this.world, household = holder - holder % HOUSEHOLD
    if (holder < OTHERS && share(seed, KIND.device, household, 1) < 0.15) return 2 * household
    if (holder < OTHERS && share(seed, KIND.device, holder, 2) < 0.04) return 2 * (OTHERS + 2 ** 22 + Math.floor(holder / STREET))
    return 2 * holder + (random.chance(0.12) ? 1 : 0)
  }

  /** Partners pass on less. */
  byPartner(holder: number, random: Random, partner = random.below(PARTNERS)): Hand {
    const { account, device, network, payer } = this.online(holder, random)
    return {
      channel: this.partner(partner), ...(account && { account }), ...(device && random.chance(0.5) && { device }), ...(network && random.chance(0.7) && { network }),
      ...(payer !== undefined && { payer }),
    }
  }

  /** A call, at one of the seats. Known callers have an account. */
  byPhone(holder: number, random: Random, someSeat = random.below(this.seats)): Hand {
    const seat = someSeat % this.seats
    const line = must(PHONE_LINES[seat % PHONE_LINES.length])
    return { channel: line, ...(random.chance(0.45) && { account: this.account(holder) }), operator: this.operator(seat), ...(random.chance(0.2) && { payer: this.payer(holder) }) }
  }

  /** A machine in a hall, some with a guide beside it. */
  byKiosk(holder: number, hospital: Hospital, random: Random, machine = random.below(6)): Hand {
    const n = OTHERS + hospital.n * 16 + machine
    return {
      channel: { id: 'hall', kind: 'kiosk' }, device: { id: opaque('dv', this.world.seed, KIND.device, n), model: 'K-20', os: 'android 9', emulator: false, rooted: false },
      network: this.wifi(hospital), ...(random.chance(0.75) && { payer: this.payer(holder) }), ...(machine < 3 && { operator: this.operator(1_000_000 + hospital.n * 16 + machine) }),
    }
  }

  byWindow(holder: number, hospital: Hospital, random: Random, window = random.below(5)): Hand {
    return { channel: { id: 'counter', kind: 'window' }, operator: this.operator(2_000_000 + hospital.n * 16 + window), ...(random.chance(0.4) && { payer: this.payer(holder) }) }
  }

  payer(n: number): string { return opaque('p', this.world.seed, KIND.payer, n) }

  /** `atMs`: of the submit; `releasedMs`: people wait for it with the page open. */
  sitting(pace: Pace, atMs: number, random: Random): Sitting {
    const [seconds, pages] = pace === 'human' ? [Math.min(240, Math.max(8, random.around(42, 0.6))), random.whole(1, 9)]
      : pace === 'waiting' ? [random.around(120, 0.9), random.whole(2, 14)]
        : pace === 'quick' ? [random.between(1.6, 6.5), random.whole(0, 2)]
          : [random.around(1.9, 0.5), random.whole(0, 2)]
    return this.sat(atMs - seconds * SECOND_MS, pages, random.around(2_100, 0.5), random)
  }

  /** A tenth of devices are trusted and see no captcha; for some the silent check answers within the second. */
  sat(openedAt: number, pageViews: number, captchaMs: number, random: Random): Sitting {
    const dice = random.next()
    const captcha = dice < 0.1 ? undefined : dice < 0.15 ? random.between(250, 900) : captchaMs
    return { id: this.world.nextId('ss', KIND.session), openedAt, pageViews, ...(captcha !== undefined && { captchaMs: captcha }) }
  }

  private operator(seat: number): { id: string; seat: string } {
    return { id: opaque('op', this.world.seed, KIND.operator, seat), seat: opaque('st', this.world.seed, KIND.seat, seat) }
  }

  private shared(kind: number, n: number): string {
    const word = hash(this.world.seed, kind, n)
    return `${must(FIRST_BYTES[word % FIRST_BYTES.length])}.${(word >>> 8) % 256}.${(word >>> 16) % 256}.${1 + (word >>> 24) % 254}`
  }

  /** A quarter in the two months before the city begins, the others over five years. */
  private registeredAt(n: number): number {
    const [dice, where] = [share(this.world.seed, KIND.registered, n), share(this.world.seed, KIND.registered, n, 1)]
    return this.world.startMs - (dice < 0.25 ? 60 * where : 60 + 1_800 * where ** 1.4) * DAY_MS - 1
  }
}

const FIRST_BYTES = [36, 39, 42, 58, 60, 61, 101, 106, 110, 111, 112, 113, 114, 115, 117, 118, 119, 120, 121, 122, 123, 124, 125, 171, 175, 180, 182, 183, 218, 220, 222, 223]
const modelName = (model: number, isApple: boolean): string => isApple ? `iPhone${12 + model % 6},${1 + model % 5}`
  : `${'ABHMPRVX'.charAt(hash(model) % 8)}${2_000 + hash(model, 1) % 800}${'AKLTN'.charAt(hash(model, 2) % 5)}`
