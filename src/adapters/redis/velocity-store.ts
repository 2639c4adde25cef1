import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { EMPTY_LOG, timeOf, type Exchange, type LogLayout, type LogWrite } from '../../domain/packed-log.js'
import type { VelocityStore } from '../../ports/velocity-store.js'
import type { RedisClient } from './connect.js'
import { Keys } from './keys.js'
import { receive } from './receive.js'
import { Live, Lives, Talk } from './talk.js'
import { LOCK, RedisUnreachable, RENEW, Trip, UNLOCK, type Compaction, type Traveller } from './trip.js'

/** Conversations that share one trip at most: more would hold up the answers of the first. */
const MOST_TALKS = 512
/** How long another process is kept away from a leading log, should this one die while it holds it. */
const LEASE_MS = 1_000
/** A conversation that waits longer than this for a log that another process holds is given up. */
const LONGEST_WAIT_MS = 1.5 * LEASE_MS
/** A leading log is written last; it has this much room for that, in words, before it moves. */
const LEAD_ROOM = 64
const DAY_MS = 86_400_000
/** Values outlive the horizon by this, for their time to live is set anew once a day of events at most. */
const SLACK_MS = 2 * DAY_MS

export interface RedisVelocityOptions {
  client: RedisClient
  layout: LogLayout
  /** Of all keys. Must name the layout, for a log means nothing under another one. Short: each entity pays for it. */
  prefix: string
  /** For one trip. */
  deadlineMs?: number
}

/**
 * Velocity in Redis, shared by any number of processes. Conversations take effect in call order within a process, as in
 * memory: each runs against logs in hand, and all that wait at one moment share one trip, which fetches the logs they
 * are about and appends what they wrote. A log of a leading kind (`layout.leads`) belongs to one process at a time, from
 * the moment it is read until all that follows from it is written; it is written last, so that a conversation cut off in
 * the middle leaves no trace there and can simply be held again. Nothing else is ever locked.
 */
export class RedisVelocityStore implements VelocityStore {
  /** It cannot tell by itself: whoever watches the counters knows (pipeline/counter-watch.ts). */
  readonly incomplete = false
  private readonly traveller: Traveller
  private readonly layout: LogLayout
  private readonly deadlineMs: number
  /** Steps of one trip are done in the order they were added, or not at all once the process is gone. */
  private readonly isInOrder: boolean

  /** Not yet looked at; being held, in call order; ended, with operations to land; landed, with leads to write. */
  private waiting: Talk[] = []
  private open: Talk[] = []
  private ended: Talk[] = []
  private landed: Talk[] = []
  private readonly lives = new Lives()
  /** Left by all; still there for those who come to it in the same trip. */
  private idle: Live[] = []
  /** With operations to be appended, those locked for nothing, those whose time to live is to be set anew. */
  private unsent: Live[] = []
  private freed: Live[] = []
  private aging: Live[] = []
  private compactions: Compaction[] = []
  /** Written to and never read: to be fetched once, so that they are folded. */
  private swollen: LogWrite[] = []
  private isAway = false
  private isWoken = false
  private round = 0

  constructor({ client, layout, prefix, deadlineMs = 200 }: RedisVelocityOptions) {
    this.layout = layout
    this.deadlineMs = deadlineMs
    this.isInOrder = !(client instanceof Cluster)
    const lifeS = Math.ceil((layout.horizonMs + SLACK_MS) / 1_000)
    this.traveller = { client, keys: new Keys(prefix), prefix, me: randomBytes(8), leaseMs: LEASE_MS, lifeS }
  }

  run<T>(exchange: Exchange<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const first = exchange.next()
      if (first.done === true) { resolve(first.value); return }
      this.waiting.push(new Talk(exchange, first.value, (result) => { resolve(result as T) }, reject))
      this.wake()
    })
  }

  /** Rejects when Redis cannot be asked within the deadline. */
  async ping(): Promise<void> {
    const trip = new Trip(this.traveller)
    trip.ask(new Live(0, 0, 0, false), 0, [])
    await trip.send(this.deadlineMs)
  }

  /** Resolves when nothing is under way any more, locks given back included. The client stays its owner's. */
  async close(): Promise<void> {
    while (this.isAway || this.isWoken || this.open.length + this.waiting.length + this.ended.length + this.landed.length > 0) await sleep(1)
  }

  // ---- trips

  /** The next trip begins when this turn of the event loop is over, or the one under way. */
  private wake(): void {
    if (this.isAway || this.isWoken) return
    this.isWoken = true
    setImmediate(() => { this.isWoken = false; void this.travel() })
  }

  private async travel(): Promise<void> {
    if (this.isAway) return
    this.isAway = true
    try {
      const trip = new Trip(this.traveller)
      const onLand = this.load(trip)
      if (!trip.isEmpty) await trip.send(this.deadlineMs)
      onLand()
      const { compactions, swollen } = receive(trip, this.layout, this.traveller.keys)
      this.compactions.push(...compactions)
      this.swollen.push(...swollen)
      this.hold()
    } catch (error) {
      this.giveUp(error)
    } finally {
      this.isAway = false
      this.goOn()
    }
  }

  private goOn(): void {
    const { waiting, ended, landed, unsent, freed, aging, compactions, swollen } = this
    if ([waiting, ended, landed, unsent, freed, aging, compactions, swollen].some((all) => all.length > 0)) this.wake()
    else if (this.open.length > 0) {
      const isMissing = this.open.some((talk) => talk.lives.some((live) => live && !live.log && live.retryAtMs === 0))
      if (isMissing) this.wake()
      else setTimeout(() => { this.wake() }, 1)
    }
  }

  /** Fills a trip; returns what is to be done once it was made. What is written comes before what is asked. */
  private load(trip: Trip): () => void {
    this.admit()
    for (const compaction of this.compactions.splice(0)) trip.compact(compaction)
    for (const live of this.freed.splice(0)) trip.add(live, UNLOCK, [])
    for (const live of this.unsent.splice(0)) this.append(trip, live)
    for (const live of this.aging.splice(0)) if (live.isAging) trip.add(live, (live.takeAging() ? RENEW : 0), [])
    const { landed, ended } = this
    this.landed = []
    this.ended = []
    for (const talk of landed) this.writeLeads(trip, talk)
    this.askAll(trip)
    for (const entity of this.swollen.splice(0)) this.askToFold(trip, entity)
    this.travelling = { landed, ended }
    return () => {
      this.travelling = undefined
      for (const talk of landed) talk.resolve(talk.result)
      for (const talk of this.open) talk.hasUnsent = false
      this.landed.push(...ended)
    }
  }

  private travelling: { landed: Talk[]; ended: Talk[] } | undefined

  private admit(): void {
    for (const talk of this.waiting.splice(0, MOST_TALKS - this.open.length)) {
      this.open.push(talk)
      this.take(talk)
    }
  }

  /** Without its log in hand nobody knows how old it is: then its time to live is always set anew. */
  private append(trip: Trip, live: Live): void {
    trip.add(live, live.log ? (live.takeAging() ? RENEW : 0) : RENEW, live.unsent.splice(0))
    if (live.users === 0 && !live.log) this.lives.delete(live)
  }

  /** In one script, or one after the other: nobody else comes to a log between what is written there and the lock given back. */
  private writeLeads(trip: Trip, talk: Talk): void {
    for (const live of talk.held) {
      if (!live.lead) continue
      const writes = talk.leads.find((one) => one.live === live)?.writes ?? []
      const isLeft = --live.users === 0
      if (isLeft) this.lives.delete(live)
      if (isLeft || writes.length > 0) trip.add(live, (isLeft ? UNLOCK : 0) | (live.takeAging() ? RENEW : 0), writes)
    }
  }

  private askAll(trip: Trip): void {
    const now = Date.now()
    const missing: Live[] = []
    this.round++
    for (const talk of this.open) {
      for (let i = 0; i < talk.lives.length; i++) {
        const live = talk.lives[i], write = talk.writes[i]
        if (!live || live.log || live.retryAtMs > now) continue
        if (live.claimedIn !== this.round) {
          live.claimedIn = this.round
          missing.push(live)
        }
        if (live.lead || !write || talk.sent[i] === true) continue
        live.early.push(write)
        talk.sent[i] = true
      }
    }
    for (const live of missing) {
      if (live.lead) { trip.ask(live, LOCK, []); live.room = LEAD_ROOM }
      else live.room = trip.ask(live, 0, live.early.splice(0))
    }
  }

  private askToFold(trip: Trip, entity: LogWrite): void {
    if (this.lives.find(entity)) return
    const live = this.addLive(entity)
    trip.ask(live, 0, [])
    this.idle.push(live)
  }

  /** All that was under way fails: nobody knows what was done of it. Locks that are left behind run out. */
  private giveUp(error: unknown): void {
    const { landed = [], ended = [] } = this.travelling ?? {}
    const all = [...landed, ...ended, ...this.open, ...this.ended, ...this.landed]
    this.travelling = undefined
    this.open = []
    this.ended = []
    this.landed = []
    this.unsent = []
    this.freed = []
    this.aging = []
    this.compactions = []
    this.swollen = []
    this.idle = []
    this.lives.clear()
    for (const talk of all) talk.reject(error)
  }

  // ---- conversations

  /** Holds every conversation as far as it goes, in call order: one that must wait keeps later ones from what it is about. */
  private hold(): void {
    const round = ++this.round
    this.open = this.open.filter((talk) => {
      const isOver = this.holdOne(talk, round)
      if (!isOver) for (const live of talk.held) live.claimedIn = round
      return !isOver
    })
    for (const live of this.idle.splice(0)) if (live.users === 0) this.lives.delete(live)
  }

  /** True when it has ended. */
  private holdOne(talk: Talk, round: number): boolean {
    try {
      for (;;) {
        for (const live of talk.lives) if (live && (!live.log || live.claimedIn === round)) return this.isTooLate(talk)
        for (let i = 0; i < talk.lives.length; i++) this.apply(talk, i)
        if (talk.next(talk.lives.map((live) => live?.log ?? EMPTY_LOG)) === undefined) { this.end(talk); return true }
        this.take(talk)
      }
    } catch (error) {
      this.abandon(talk, error)
      return true
    }
  }

  private isTooLate(talk: Talk): boolean {
    if (talk.heldForMs(Date.now()) > LONGEST_WAIT_MS) throw new RedisUnreachable(`another process has held an order or slot for ${LONGEST_WAIT_MS} ms`)
    // Nobody may wait for a second log while it holds a first: two could wait for each other.
    if (talk.isFirst && talk.lives.some((live) => live?.lead === true && live.retryAtMs > 0)) {
      for (const live of talk.held) {
        if (!live.lead || !live.log || live.users !== 1) continue
        live.log = undefined
        live.retryAtMs = Date.now() + randomInt(1, 4)
        this.freed.push(live)
      }
    }
    return false
  }

  private apply(talk: Talk, i: number): void {
    const live = talk.lives[i], log = live?.log, write = talk.writes[i]
    if (!live || !log || !write) return
    if (write.put) {
      if (log.used > 0 && Math.floor(timeOf(write.put) / DAY_MS) !== Math.floor(log.lastMs / DAY_MS)) this.renew(live)
      log.put(write.put, write.was)
    } else if (write.drop) log.drop(write.drop)
    else return
    if (talk.sent[i] === true) return
    if (live.lead) talk.writeLead(live, write)
    else this.send(talk, live, write)
  }

  private renew(live: Live): void {
    if (live.isAging) return
    live.isAging = true
    if (!live.lead) this.aging.push(live)
  }

  /** With the next trip. */
  private send(talk: Talk, live: Live, write: LogWrite): void {
    talk.hasUnsent = true
    if (live.unsent.push(write) === 1) this.unsent.push(live)
  }

  private end(talk: Talk): void {
    for (const live of talk.held) if (!live.lead) this.leave(live)
    if (talk.hasUnsent && !this.isInOrder) this.ended.push(talk)
    else if (talk.hasUnsent || talk.leads.length > 0) this.landed.push(talk)
    else {
      for (const live of talk.held) if (live.lead) this.leave(live)
      talk.resolve(talk.result)
    }
  }

  private abandon(talk: Talk, error: unknown): void {
    for (const live of talk.held) this.leave(live)
    talk.reject(error)
  }

  /** Finds what it is about by its last words. What nobody reads, and nobody here is about, is sent without being fetched. */
  private take(talk: Talk): void {
    const { writes, held } = talk
    talk.sent = []
    talk.lives = []
    for (const write of writes) {
      const live = this.lives.find(write) ?? this.addLive(write)
      if (write.unread === true && !live.lead && !live.log && live.users === 0) {
        this.send(talk, live, write)
        talk.lives.push(undefined)
        continue
      }
      talk.lives.push(live)
      if (held.includes(live)) continue
      held.push(live)
      live.users++
    }
  }

  private addLive({ kind, hi, lo }: LogWrite): Live {
    const live = new Live(kind, hi, lo, this.layout.leads(kind))
    this.lives.add(live)
    return live
  }

  /** What nobody here needs any more after this trip is fetched anew next time, for other processes write too. */
  private leave(live: Live): void {
    if (--live.users > 0) return
    if (!live.lead) { this.idle.push(live); return }
    this.lives.delete(live)
    if (live.log) this.freed.push(live)
  }
}

export const createRedisVelocityStore = (options: RedisVelocityOptions): RedisVelocityStore => new RedisVelocityStore(options)
