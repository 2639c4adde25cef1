import type { Doctor } from '../hospitals.js'
import type { Person } from '../people.js'
import { OTHERS, type Reach } from '../reach.js'
import { hash, KIND, must, type Random } from '../random.js'
import { DAY_MS, HOUR_MS, type Account, type Device, type Hand, type Network, type Tactic } from '../wire.js'
import { register } from '../patients.js'
import type { World } from '../world.js'
import { PLAYS, type Play, type Who } from './plays.js'

/** Gangs of a large city have 100-2,000 accounts and 50-400 devices (DOMAIN 5), at 30,000 bookings a day. */
const FULL_SCALE = 30_000

/** Who holds an account of the gang, and since when it is registered. */
export interface Held { account: Account; /** For devices and addresses: what the account's user would have. */ n: number }

/** One gang: what it owns, whom it serves and how much it has learned. */
export class Gang {
  readonly id: string
  /** Requests made so far: gangs keep to their share of the city. */
  spent = 0
  private readonly random: Random
  private readonly requests = new Map<Tactic, number>()
  private readonly held: Held[]
  private readonly bought: Held[]
  private readonly accounts: number
  private readonly devices: number
  private readonly payers: number
  private readonly model: number
  private readonly learnedAtFirst: number
  private readonly learnsPerDay: number
  private serial = 0

  /** `base`: the first of the numbers that are the gang's own. */
  constructor(private readonly world: World, private readonly reach: Reach, readonly n: number, readonly tactics: readonly Tactic[], readonly targets: readonly Doctor[], readonly weight: number) {
    this.random = world.random(KIND.gang, n, 1)
    this.id = `G${n + 1}`
    const { random } = this
    const scale = Math.min(1, Math.max(0.04, world.perDay / FULL_SCALE))
    this.devices = Math.max(3, Math.round(random.around(140, 0.5) * scale))
    this.payers = random.whole(1, Math.max(2, Math.round(6 * scale ** 0.5)))
    this.model = Math.floor(60 * random.next() ** 1.8)
    this.learnedAtFirst = random.between(0, 0.35)
    this.learnsPerDay = random.between(0.005, 0.03)
    this.accounts = Math.max(8, Math.round(random.around(450, 0.8) * scale))
    this.held = Array.from({ length: this.accounts }, () => this.newAccount())
    this.bought = tactics.includes('T14') ? Array.from({ length: Math.max(4, Math.round(60 * scale)) }, () => this.boughtAccount()) : []
  }

  /** The past lives of accounts that are bought later: their holders' numbers. */
  get pasts(): readonly number[] { return this.bought.map(({ n }) => n) }
  /** A play with what the gang's other tactics bring along: its payer, its farm, its face on every phone. */
  play(tactic: Tactic): Play {
    const own = PLAYS[tactic], all = this.tactics.map((other) => PLAYS[other])
    const farm = own.device === 'pool' && all.some(({ device }) => device === 'farm')
    return { ...own, payer: Math.max(...all.map(({ payer }) => payer), own.payer), face: Math.max(...all.map(({ face }) => face), own.face), device: farm ? 'farm' : own.device }
  }

  /** The tactic whose turn it is: a gang plays what it has learned alike. */
  leastPlayed(ways: readonly Tactic[]): Tactic {
    return must([...ways].sort((a, b) => (this.requests.get(a) ?? 0) - (this.requests.get(b) ?? 0))[0])
  }

  /** Notes what an operation is going to take, and returns it. */
  played(tactic: Tactic, requests: number): number {
    this.requests.set(tactic, (this.requests.get(tactic) ?? 0) + requests)
    return requests
  }

  /** How much of what it does looks like a person's, by day. */
  skill(day: number): number { return Math.min(0.9, this.learnedAtFirst + this.learnsPerDay * day) }

  /** New accounts at odd hours of the day, for the days to come. */
  planDay(day: number): void {
    const { world, random } = this
    const count = Math.round(random.exponential(this.held.length * 0.06))
    for (let i = 0; i < count; i++) {
      const registeredAt = world.startMs + day * DAY_MS + random.between(7, 23.5) * HOUR_MS
      const made = this.newAccount(registeredAt)
      const hand = { ...this.reach.online(made.n, random), account: made.account, device: this.device(made, 'pool'), network: this.network(made, random.chance(0.1), day) }
      world.at(registeredAt, () => {
        register(world, hand)
        this.held.push(made)
        // Old ones are dropped: they are known by then.
        if (this.held.length > this.accounts) this.held.shift()
      })
    }
  }

  /** Weights towards the young or the old end of what is owned. */
  account(kind: 'young' | 'aged' | 'bought'): Held {
    const { held, random } = this
    if (kind === 'bought' && this.bought.length > 0) return random.pick(this.bought)
    const where = random.next() ** 2
    const index = Math.floor(held.length * (kind === 'young' ? 1 - where : where))
    return must(held[Math.min(held.length - 1, index)])
  }

  clientAccount(client: number): Held {
    const { holder } = this.world.people.place(client)
    return { account: this.reach.account(holder), n: holder }
  }

  /** `n`: of the client, when it is one. */
  somebody(who: Who, phone: 'own' | 'sim' | 'virtual'): { n: number; person: Person } {
    const { people } = this.world
    const n = who === 'puppet' ? this.puppet(this.random.below(Math.max(4, Math.round(this.held.length / 3)))) : people.anyone(this.random)
    const number = phone === 'own' ? people.phone(n) : phone === 'virtual' ? people.virtualPhone(hash(this.n, ++this.serial)) : this.sim()
    if (who === 'client' || who === 'puppet') return { n, person: { ...people.person(n), phone: number } }
    const name = who === 'odd' ? String(this.random.whole(100, 999)) : people.person(n).name
    // A new row every dozen.
    const row = Math.floor(++this.serial / 12)
    return { n, person: people.series(hash(this.n, row), this.serial % 12, name, number) }
  }

  puppet(k: number): number { return hash(this.world.seed, KIND.puppet, this.n, k) % this.world.people.size }

  device(held: Held, kind: Exclude<Play['device'], 'own'>): Device {
    const { reach, random } = this
    const own = OTHERS + 2 ** 22 + this.n * 2 ** 14 + (kind === 'one' ? 0 : held.n % this.devices)
    return kind === 'farm' ? reach.deviceOf(own, this.model, this.world.random(KIND.device, this.model, this.n)) : random.chance(0.9) ? reach.device(own) : reach.device(2 * held.n)
  }

  /** Networks are changed every few days by those who have learned. */
  network(held: Held, isHidden: boolean, day: number): Network {
    const { random, reach, world } = this
    if (random.chance(0.12)) return reach.nat(random)
    if (random.chance(0.25)) return reach.network(random.below(world.people.size), random)
    const turn = this.skill(day) > 0.3 ? Math.floor(day / 4) : 0
    const net = hash(world.seed, KIND.gang, this.n, turn, held.n % (1 + this.n % 4))
    return { ip: reach.address(net, hash(held.n, this.n)), proxy: isHidden, datacenter: isHidden && random.chance(0.3) }
  }

  payer(): string { return this.reach.payer(OTHERS + 2 ** 23 + this.n * 64 + this.random.below(this.payers)) }
  /** The seat of the bribed, where honest callers are served too. */
  seat(client: number, doctor: Doctor): Hand {
    const kind = this.n % 4
    return kind < 2 ? this.reach.byPhone(client, this.random, this.n) : kind === 2 ? this.reach.byKiosk(client, doctor.hospital, this.random, 0) : this.reach.byWindow(client, doctor.hospital, this.random, 0)
  }

  partner(client: number): Hand { return this.reach.byPartner(client, this.random, this.n) }

  private sim(): string {
    const { people, seed } = this.world
    return people.block(hash(seed, KIND.gang, this.n, 7, this.random.below(2))) + String(this.random.below(10_000)).padStart(4, '0')
  }

  /** `registeredAt`: on a day of the city; otherwise long ago like everybody's, or in the last weeks. */
  private newAccount(registeredAt?: number): Held {
    const n = OTHERS + 2 ** 24 + this.n * 2 ** 16 + ++this.serial
    const account = this.reach.account(n)
    const young = this.random.chance(0.4) ? this.world.startMs - this.random.exponential(20) * DAY_MS - 1 : account.registeredAt
    return { n, account: { ...account, registeredAt: registeredAt ?? young } }
  }

  private boughtAccount(): Held {
    const { holder } = this.world.people.place(this.world.people.anyone(this.random))
    return { n: holder, account: this.reach.account(holder) }
  }
}
