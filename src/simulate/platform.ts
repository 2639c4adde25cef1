import { endOf, slotId, visitOf, type Doctor, type Order, type Session } from './hospitals.js'
import { hash, KIND, must, opaque, Random, Wheel } from './random.js'
import { accountWire, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, sittingWire, time, type Hand, type Sitting, type Tag, type Wire } from './wire.js'
import type { World } from './world.js'

/** What becomes of an order once it is confirmed. */
export interface Fate {
  /** In time; otherwise it expires, where one pays online. */
  pays: boolean
  /** Epoch milliseconds; none: it is kept. */
  cancelAt?: number
  cancelBy?: 'patient' | 'window'
  shows: boolean
}

/** One request for one slot. */
export interface Attempt {
  hand: Hand
  patient: Wire
  sitting?: Sitting
  session: Session
  slot: number
  tag: Tag
  fate: Fate
  /** Of an order that got no answer and is asked for again. */
  orderId?: string
  onConfirmed?: (order: Order) => void
  /** The slot was gone: called when the person sees it. */
  onRefused?: () => void
  onStopped?: () => void
}

/** Somebody who waits for returned slots of a doctor. */
export interface Watcher { fromMs: number; untilMs: number; react: (session: Session, slot: number) => void }

/**
 * The booking platform: whose a slot is, and everything that follows a request. It knows facts only: a slot that was free
 * goes to the first who asks, a person or a gang.
 */
export class Platform {
  /** Sessions that are not over, by doctor number, the earliest visit first. */
  private readonly open = new Map<number, Session[]>()
  /** Released today, and how much each is wanted. */
  today: Session[] = []
  private wheel = new Wheel([])
  private readonly watchers = new Map<number, Watcher[]>()
  private readonly random: Random
  private sessions = 0
  /** The outage of today, if any. */
  private outage = { fromMs: 0, untilMs: 0 }

  constructor(private readonly world: World) { this.random = world.random(KIND.platform) }

  /** Before the first day: sessions that were released earlier, partly taken. */
  openEarlier(): void {
    const { doctors } = this.world.supply
    for (const doctor of doctors) {
      for (let day = 0; day < doctor.hospital.horizonDays; day++) {
        for (const session of this.sessionsOf(doctor, day)) {
          const share = doctor.isHot ? 0.98 : 0.3 + 0.5 * this.random.next()
          session.holders.forEach((_, slot) => { if (this.random.chance(share)) this.take(session, slot, 'elsewhere') })
        }
      }
    }
  }

  /** Everything the supply does on a day: releases, stops, an outage now and then. */
  planDay(day: number): void {
    const { supply } = this.world
    this.today = supply.doctors.flatMap((doctor) => this.sessionsOf(doctor, day + doctor.hospital.horizonDays))
    this.wheel = new Wheel(this.today.map(({ doctor }) => doctor.demand / doctor.sessions))
    for (const session of this.today) this.world.at(session.releasedMs, () => { this.release(session) })
    this.planOutage(day)
    this.forget()
  }

  /** One of the sessions released today, as often as it is wanted. */
  wanted(random: Random): Session | undefined { return this.today.length === 0 ? undefined : this.today[this.wheel.spin(random)] }

  /** Bookable sessions of a doctor that have a free slot. */
  bookable(doctor: Doctor): Session[] {
    const soonest = this.world.now + HOUR_MS
    return (this.open.get(doctor.n) ?? []).filter((session) => session.free > 0 && !session.stopped && session.releasedMs <= this.world.now && session.visitMs > soonest)
  }

  /** What a page shows of a doctor, free or not: the session released last. */
  latest(doctor: Doctor): Session | undefined {
    return (this.open.get(doctor.n) ?? []).findLast((session) => session.releasedMs <= this.world.now && session.visitMs > this.world.now)
  }

  /** A slot that looks free; in the first seconds pages are stale, and one asks for what is gone. */
  lookAt(session: Session, random: Random): number | undefined {
    const { holders } = session
    const isStale = this.world.now - session.releasedMs < 10 * SECOND_MS && random.chance(0.2)
    if (isStale) return random.below(holders.length)
    if (session.free === 0 || session.stopped) return undefined
    const from = random.below(holders.length)
    for (let i = 0; i < holders.length; i++) {
      const slot = (from + i) % holders.length
      if (holders[slot] === undefined) return slot
    }
    return undefined
  }

  request(attempt: Attempt): void {
    const { world } = this
    const { session, slot, hand } = attempt
    const orderId = attempt.orderId ?? world.nextId('o', KIND.order)
    const tag: Tag = this.isDown() && 'group' in attempt.tag ? { group: 'outage' } : attempt.tag
    world.emit('booking.requested', {
      order_id: orderId, channel: hand.channel, account: hand.account && accountWire(hand.account), patient: attempt.patient, slot: this.slotWire(session, slot),
      device: hand.device, network: hand.network, session: attempt.sitting && sittingWire(attempt.sitting), payer: hand.payer && { id: hand.payer }, operator: hand.operator,
    }, session.id, tag)
    if (this.isDown()) this.unanswered({ ...attempt, tag }, orderId)
    else if (session.holders[slot] === undefined && !session.stopped) this.confirm(attempt, orderId)
    else if (attempt.onRefused) world.at(world.now + this.random.around(1_400, 0.5), attempt.onRefused)
  }

  /** A look at what a doctor has. */
  query(hand: Hand, session: Session): void {
    const slot = { ...this.sessionWire(session), released_at: time(session.releasedMs) }
    this.world.emit('slot.queried', { channel: hand.channel, account: hand.account && accountWire(hand.account), slot, device: hand.device, network: hand.network }, session.id)
  }

  /** Gives an order back, now. `onBack`: when its slot can be booked again, if ever. False when it is over already. */
  cancel(order: Order, by: 'patient' | 'window' | 'hospital' | 'platform', onBack?: () => void): boolean {
    if (order.state === 'ended' || visitOf(order.session, order.slot) <= this.world.now) return false
    order.state = 'ended'
    const reason = by === 'hospital' ? 'stopped' : by === 'platform' ? 'duplicate' : this.random.pick(['plans changed', 'feeling better', 'other hospital', 'wrong day', 'other'])
    this.world.emit('booking.cancelled', { order_id: order.id, cancel: { by, reason } }, order.session.id)
    if (by !== 'hospital') this.giveBack(order, onBack)
    return true
  }

  watch(doctor: Doctor, watcher: Watcher): void {
    const all = (this.watchers.get(doctor.n) ?? []).filter(({ untilMs }) => untilMs > this.world.now)
    this.watchers.set(doctor.n, [...all, watcher])
  }

  isDown(): boolean { return this.world.now >= this.outage.fromMs && this.world.now < this.outage.untilMs }
  sessionWire(session: Session): Wire {
    const { doctor } = session
    return {
      hospital_id: doctor.hospital.id, department_id: doctor.departmentId, doctor_id: doctor.id, clinic: doctor.clinic, schedule_id: session.id,
    }
  }

  private slotWire(session: Session, slot: number): Wire {
    return {
      ...this.sessionWire(session), slot_id: slotId(this.world.seed, session, slot), visit_at: time(visitOf(session, slot)), released_at: time(session.releasedMs),
      fee_fen: session.doctor.feeFen, ...session.doctor.limits,
    }
  }

  private sessionsOf(doctor: Doctor, visitDay: number): Session[] {
    const { world } = this
    return world.supply.sessionsOn(doctor, visitDay).map((half) => {
      const n = ++this.sessions
      const session: Session = {
        n, id: opaque('s', world.seed, KIND.schedule, n), doctor, visitMs: world.startMs + visitDay * DAY_MS + (half === 'am' ? 8 : 13.5) * HOUR_MS,
        releasedMs: world.startMs + (visitDay - doctor.hospital.horizonDays) * DAY_MS + doctor.hospital.releaseMs,
        holders: Array.from({ length: doctor.slots }, () => undefined), free: doctor.slots, stopped: false,
      }
      this.open.set(doctor.n, [...this.open.get(doctor.n) ?? [], session])
      if (this.random.chance(doctor.hospital.stops)) this.planStop(session)
      return session
    })
  }

  private release(session: Session): void {
    const slot = { ...this.sessionWire(session), visit_at: time(session.visitMs), released_at: time(session.releasedMs), fee_fen: session.doctor.feeFen }
    this.world.emit('schedule.released', { slot, count: session.holders.length, re_release: false }, session.id)
  }

  private planStop(session: Session): void {
    const stopAt = session.visitMs - this.random.between(2, 72) * HOUR_MS
    if (stopAt > this.world.now) this.world.at(stopAt, () => { this.stop(session) })
  }

  /** The hospital cancels what was booked, within minutes. */
  private stop(session: Session): void {
    session.stopped = true
    this.world.emit('schedule.stopped', { slot: this.sessionWire(session), reason: this.random.pick(['leave', 'meeting', 'emergency', 'other']) }, session.id)
    for (const holder of session.holders) {
      if (typeof holder !== 'object') continue
      this.world.at(this.world.now + this.random.between(1, 300) * SECOND_MS, () => {
        if (this.cancel(holder, 'hospital')) this.stopped.get(holder.id)?.()
        this.stopped.delete(holder.id)
      })
    }
  }

  /** What people do when their session is stopped, by order; forgotten with the order. */
  private readonly stopped = new Map<string, () => void>()

  private confirm(attempt: Attempt, id: string): void {
    const { world } = this
    const { session, slot, fate, hand } = attempt
    const order: Order = { id, session, slot, state: 'open' }
    this.take(session, slot, order)
    if (attempt.onStopped) this.stopped.set(id, attempt.onStopped)
    const confirmedMs = world.now + this.random.around(700, 0.5)
    world.at(confirmedMs, () => {
      if (order.state === 'ended') return
      world.emit('booking.confirmed', { order_id: id }, session.id)
      this.settle(order, fate, hand)
      attempt.onConfirmed?.(order)
    })
  }

  private settle(order: Order, fate: Fate, hand: Hand): void {
    const { world } = this
    const { payMs } = order.session.doctor.hospital
    const paysLater = hand.channel.kind === 'phone'
    if (!paysLater && fate.pays) world.at(world.now + Math.min(this.random.around(35 * SECOND_MS, 0.9), payMs - SECOND_MS), () => { if (order.state === 'open') world.emit('booking.paid', { order_id: order.id }, order.session.id) })
    if (!paysLater && !fate.pays) world.at(world.now + payMs, () => { this.expire(order) })
    if (fate.cancelAt !== undefined) world.at(fate.cancelAt, () => { this.cancel(order, fate.cancelBy ?? 'patient') })
    const visitMs = visitOf(order.session, order.slot)
    if (fate.shows) world.at(visitMs - this.random.between(-20, 40) * MINUTE_MS, () => { this.end(order, 'booking.attended') })
    else world.at(endOf(order.session) + this.random.between(0.5, 3) * HOUR_MS, () => { this.end(order, 'booking.no_show') })
  }

  private end(order: Order, type: 'booking.attended' | 'booking.no_show'): void {
    if (order.state === 'ended') return
    order.state = 'ended'
    this.stopped.delete(order.id)
    this.world.emit(type, { order_id: order.id }, order.session.id)
  }

  private expire(order: Order): void {
    if (order.state === 'ended') return
    order.state = 'ended'
    this.world.emit('booking.expired', { order_id: order.id }, order.session.id)
    this.giveBack(order)
  }

  private take(session: Session, slot: number, holder: Order | 'elsewhere'): void {
    session.holders[slot] = holder
    session.free--
  }

  private giveBack(order: Order, onBack?: () => void): void {
    const { session, slot } = order
    this.stopped.delete(order.id)
    session.holders[slot] = 'returning'
    const backMs = this.backAt(session)
    if (backMs === undefined || backMs > session.visitMs - HOUR_MS) return
    this.world.at(backMs, () => { this.releaseAgain(session, slot, onBack) })
  }

  /** When a slot that is returned now can be booked again; undefined: never online. */
  private backAt(session: Session): number | undefined {
    const { now, startMs } = this.world
    const { returnMode, batchMs } = session.doctor.hospital
    if (returnMode === 'never') return undefined
    if (returnMode === 'at_once') return now + this.random.between(20, 400)
    if (returnMode === 'delayed') return now + this.random.between(1, 2) * HOUR_MS
    if (returnMode === 'returning') return now + this.random.between(3, 40) * MINUTE_MS
    const midnight = startMs + Math.floor((now - startMs) / DAY_MS) * DAY_MS
    return midnight + batchMs + (now >= midnight + batchMs ? DAY_MS : 0) + this.random.between(0, 3_000)
  }

  private releaseAgain(session: Session, slot: number, onBack?: () => void): void {
    if (session.stopped) return
    session.holders[slot] = undefined
    session.free++
    this.world.emit('schedule.released', { slot: this.slotWire(session, slot), count: 1, re_release: true }, session.id)
    onBack?.()
    const { now } = this.world
    for (const watcher of this.watchers.get(session.doctor.n) ?? []) if (watcher.fromMs <= now && now < watcher.untilMs) watcher.react(session, slot)
  }

  /** One outage in each ten days, on a day and in a release hour that the seed draws. */
  private planOutage(day: number): void {
    const random = this.world.random(KIND.outage, Math.floor(day / 10))
    const session = this.today.length === 0 ? undefined : must(this.today[hash(this.world.seed, KIND.outage, day, 1) % this.today.length])
    if (session === undefined || random.below(Math.min(10, this.world.days)) !== day % 10) return
    const fromMs = session.releasedMs + random.between(-60, 120) * SECOND_MS
    this.outage = { fromMs, untilMs: fromMs + random.between(6, 20) * MINUTE_MS }
  }

  /** No answer: asked again with the same order, by some in a second session too, whose order the platform clears away later. */
  private unanswered(attempt: Attempt, orderId: string): void {
    const { world, random } = this
    const again = world.now + random.around(40_000, 1)
    const retry = { ...attempt, orderId }
    if (again > this.outage.untilMs || random.chance(0.85)) world.at(again, () => { this.request(retry) })
    // Once per order: sessions that open sessions would have no end.
    if (attempt.orderId !== undefined || !random.chance(0.4)) return
    const sitting = attempt.sitting && { ...attempt.sitting, id: world.nextId('ss', KIND.session), openedAt: again + 2_000 }
    world.at(again + random.between(4_000, 40_000), () => {
      const { hand, patient, session, tag, fate } = attempt
      const slot = this.lookAt(session, random)
      if (slot === undefined) return
      const onConfirmed = (order: Order): void => { world.at(world.now + random.between(1, 9) * MINUTE_MS, () => { this.cancel(order, 'platform') }) }
      this.request({ hand, patient, session, slot, tag, fate, orderId: world.nextId('o', KIND.order), ...(sitting && { sitting }), onConfirmed })
    })
  }

  /** Sessions that are over. */
  private forget(): void {
    for (const [n, sessions] of this.open) this.open.set(n, sessions.filter((session) => endOf(session) > this.world.now))
  }
}
