import type { Citizens } from '../citizens.js'
import { visitOf, type Doctor, type Order, type Session } from '../hospitals.js'
import type { Platform } from '../platform.js'
import type { Reach } from '../reach.js'
import { KIND, must } from '../random.js'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, TACTICS, type Tactic } from '../wire.js'
import type { World } from '../world.js'
import { Gang } from './gang.js'
import { PLAYS, type Play } from './plays.js'
import { poll } from './polling.js'
import { arm, fire, strike, type Ground, type Strike } from './strike.js'

/** Nine gangs took most of one city's hot slots (DOMAIN 2); larger cities have more. */
const FEWEST = 9, MOST = 60
const BOOKINGS_PER_GANG = 400

/** Of T4's second half: the buyer is an ordinary stranger, who comes. */
const FOR_BUYER: Partial<Play> = {
  who: [['client', 1]], account: [['aged', 5], ['young', 2], ['client', 3]], bind: [['late', 4], ['today', 2], ['old', 4]], clicks: [1, 1],
  ends: { cancel: 0.04, expire: 0.02, noShow: 0.05 },
}

/** About so many requests a booking takes: a clicker makes several, and half of the hand-offs find a buyer. */
const requestsOf = (tactic: Tactic): number => tactic === 'T4' ? 1.7 : PLAYS[tactic].clicks[1] > 1 ? 3.5 : 1

/** All gangs, and what each does day by day. */
export class Gangs {
  private readonly gangs: readonly Gang[]
  private readonly ground: Ground

  constructor(private readonly world: World, private readonly platform: Platform, reach: Reach, private readonly citizens: Citizens) {
    const random = world.random(KIND.gang)
    this.ground = { world, platform, reach, random }
    const count = world.scalpers === 0 ? 0 : Math.min(MOST, Math.max(FEWEST, Math.round(world.perDay / BOOKINGS_PER_GANG)))
    const decks = this.deal(count)
    const weights = decks.map((deck) => deck.length * random.between(0.7, 1.3))
    const all = weights.reduce((sum, weight) => sum + weight, 0)
    this.gangs = decks.map((deck, n) => new Gang(world, reach, n, deck, this.targets(deck), must(weights[n]) / all))
  }

  planDay(day: number): void {
    const { world } = this
    // Bought accounts have been somebody's.
    if (day === 0) for (const n of this.gangs.flatMap(({ pasts }) => pasts)) this.citizens.plan({ n, group: 'plain', left: 0 }, this.ground.random.below(Math.min(3, world.days)))
    const wanted = (world.requests.legit + world.perDay) * world.scalpers / (1 - world.scalpers)
    for (const gang of this.gangs) {
      gang.planDay(day)
      this.operations(gang, day, wanted * gang.weight - gang.spent)
    }
  }

  /** Every tactic is played by one gang at least; each gang plays one to three. */
  private deal(count: number): Tactic[][] {
    const { random } = this.ground
    const decks: Tactic[][] = Array.from({ length: count }, () => [])
    const cards = count === 0 ? [] : random.shuffled(TACTICS)
    const more = random.shuffled([...TACTICS, 'T7', 'T8', 'T13', 'T4'] as const).slice(0, Math.max(0, Math.round(count * 1.9) - cards.length))
    for (const [i, card] of [...cards, ...more].entries()) {
      const deck = must(decks[i % count])
      if (deck.length < 3 && !deck.includes(card)) deck.push(card)
    }
    return decks
  }

  /** One to three of the hottest doctors; who hands slots over chooses those whose slots come back at once. */
  private targets(deck: readonly Tactic[]): Doctor[] {
    const { hot } = this.world.supply
    const { random } = this.ground
    const quick = hot.filter(({ hospital }) => hospital.returnMode === 'at_once')
    const online = hot.filter(({ hospital }) => hospital.returnMode !== 'never')
    const batch = hot.filter(({ hospital }) => hospital.returnMode === 'batch')
    const choice = [deck.includes('T4') ? quick : [], deck.includes('T5') ? batch : [], deck.includes('T5') ? online : []].find((list) => list.length > 0) ?? hot
    return random.shuffled(choice).slice(0, deck.includes('T3') ? 1 : random.whole(2, 4))
  }

  /** As many operations as the gang's share of the day leaves room for. */
  private operations(gang: Gang, day: number, owed: number): void {
    const { random } = this.ground
    if (gang.tactics.includes('T5')) this.watch(gang, day)
    if (owed < 1 || random.chance(0.1)) return
    // Watching is paid for when a slot is won.
    const ways = gang.tactics.filter((tactic) => tactic !== 'T5')
    for (let left = owed; left >= 1 && ways.length > 0;) {
      const tactic = gang.leastPlayed(ways), play = gang.play(tactic)
      const size = Math.min(Math.ceil(left), random.whole(...play.burst))
      left -= gang.played(tactic, size * requestsOf(tactic))
      this.operation(gang, tactic, play, day, size)
    }
  }

  /** Several bookings that belong together: one release, or one patient all over the city. */
  private operation(gang: Gang, tactic: Tactic, play: Play, day: number, size: number): void {
    const { random } = this.ground
    const held = play.oneAccount ? gang.account(random.weighted(play.account) === 'bought' ? 'bought' : 'aged') : undefined
    const puppet = play.broad ? gang.puppet(random.below(3)) : undefined
    const when = random.weighted(play.when)
    let doctor = this.target(gang, play)
    let { atMs, session } = this.moment(gang, doctor, when, play, day)
    for (let i = 0; i < size; i++) {
      strike(this.ground, {
        gang, tactic, play, day, atMs, doctor, ...(session && { session }), ...(held && { held }), ...(puppet !== undefined && { puppet }),
        ...(tactic === 'T4' && { onConfirmed: (order: Order) => { this.handOver(gang, order) } }),
      })
      atMs += when === 'release' ? random.between(...play.apartMs) * (1 + 12 * gang.skill(day)) : random.around(4 * MINUTE_MS, 1)
      if (play.broad) ({ atMs, session } = this.moment(gang, doctor = this.target(gang, play), random.weighted(play.when), play, day))
    }
  }

  private target(gang: Gang, play: Play): Doctor {
    const { random } = this.ground
    return play.broad || random.chance(0.15) ? random.pick(this.world.supply.hot) : random.pick(gang.targets)
  }

  /** A release of today of the doctor, or of another whom people want as much. */
  private moment(gang: Gang, doctor: Doctor, when: 'release' | 'hour' | 'day', play: Play, day: number): { atMs: number; session?: Session } {
    const { random } = this.ground
    const atMs = this.world.startMs + day * DAY_MS + random.between(7, 22) * HOUR_MS
    if (when === 'day') return { atMs }
    const hot = this.platform.today.filter((session) => session.doctor.isHot)
    const own = hot.filter((session) => session.doctor === doctor), theirs = hot.filter((session) => gang.targets.includes(session.doctor))
    const choice = own.length > 0 ? own : theirs.length > 0 ? theirs : hot
    if (choice.length === 0) return { atMs }
    const session = random.pick(choice)
    if (when === 'hour') return { session, atMs: session.releasedMs + random.between(3, 900) * SECOND_MS * random.next() }
    // Who has learned comes a little later, among the crowd.
    const [low, high] = play.afterMs
    const late = random.chance(gang.skill(day)) ? random.around(2_500, 0.8) : 0
    return { session, atMs: session.releasedMs + random.between(low, high) + late }
  }

  /** T4: given back when there is a buyer, and taken for the buyer the moment it is back, often by another way. */
  private handOver(gang: Gang, order: Order): void {
    const { world, platform, ground } = this
    const { random } = ground
    const leadMs = visitOf(order.session, order.slot) - world.now
    const atMs = world.now + Math.max(3 * MINUTE_MS, Math.min(random.around(9 * HOUR_MS, 1.2), leadMs * 0.8))
    world.at(atMs - random.between(0.1, 1) * HOUR_MS, () => {
      const day = Math.floor((world.now - world.startMs) / DAY_MS)
      const it: Strike = { gang, tactic: 'T4', play: { ...gang.play('T4'), ...FOR_BUYER }, day, atMs, doctor: order.session.doctor, session: order.session, slot: order.slot, ...(random.chance(0.2) && { hand: 'seat' as const }) }
      const armed = arm(ground, it)
      const reactMs = random.chance(gang.skill(day)) ? random.around(14_000, 0.8) : random.between(600, 6_000)
      world.at(atMs, () => {
        platform.cancel(order, random.chance(0.1) ? 'window' : 'patient', () => { world.at(world.now + reactMs, () => { fire(ground, it, armed) }) })
      })
    })
  }

  /** T5: a few watches a day, at the hour of the batch where there is one. */
  private watch(gang: Gang, day: number): void {
    const { random } = this.ground
    const watches = random.whole(3, 4)
    for (let i = 0; i < watches; i++) {
      const doctor = random.pick(gang.targets)
      const { returnMode, batchMs } = doctor.hospital
      const into = returnMode === 'batch' && random.chance(0.85) ? batchMs - random.between(1, 12) * MINUTE_MS : random.between(7, 21) * HOUR_MS
      poll(this.ground, gang, doctor, this.world.startMs + day * DAY_MS + into, day)
    }
  }
}
