import type { Doctor, Session } from './hospitals.js'
import type { Wish } from './manners.js'
import type { Platform, Watcher } from './platform.js'
import { KIND, type Random } from './random.js'
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, type Sitting } from './wire.js'
import type { World } from './world.js'

type Take = (session: Session, slot: number, sitting: Sitting) => void

/** Honest waiting for returned slots: a waiting list that rings, and people who look again and again, at uneven gaps. */
export class Watching {
  constructor(private readonly world: World, private readonly platform: Platform, private readonly random: Random) {}

  wait(group: 'waitlist' | 'return_watcher', wish: Wish, wanted: Doctor, take: Take): void {
    // Nobody waits for what can be had.
    const doctor = this.platform.bookable(wanted).length > 1 ? this.random.pick(this.world.supply.hot) : wanted
    if (group === 'waitlist') this.waitlist(doctor, take)
    else this.world.at(this.world.now + this.untilBatch(doctor), () => { this.bouts(wish, doctor, take, this.random.whole(2, 5)) })
  }

  /** Where returned slots come in a batch, people know the hour. */
  private untilBatch({ hospital }: Doctor): number {
    if (hospital.returnMode !== 'batch' || this.random.chance(0.3)) return 0
    const intoDay = (this.world.now - this.world.startMs) % DAY_MS
    return (hospital.batchMs - this.random.between(0.5, 10) * MINUTE_MS - intoDay + DAY_MS) % DAY_MS
  }

  /** Rung when a slot comes back; who opens the message first has it. */
  private waitlist(doctor: Doctor, take: Take): void {
    const { world, random } = this
    const watcher: Watcher = {
      fromMs: world.now, untilMs: world.now + random.between(0.5, 5) * DAY_MS,
      react: (session, slot) => {
        watcher.untilMs = world.now
        const opensAt = world.now + Math.max(900, random.around(9 * SECOND_MS, 1.1))
        world.at(opensAt + random.between(1_500, 14_000), () => { take(session, slot, this.sitting(opensAt, random.whole(1, 3))) })
      },
    }
    this.platform.watch(doctor, watcher)
  }

  /** A few sittings of minutes each; a slot that shows up is taken within seconds. */
  private bouts(wish: Wish, doctor: Doctor, take: Take, left: number): void {
    const { world, random } = this
    const openedAt = world.now
    let looks = 0
    const watcher: Watcher = {
      fromMs: openedAt, untilMs: openedAt + random.around(14 * MINUTE_MS, 0.6),
      react: (session, slot) => {
        // Seen at the next look, which is a fraction of a gap away.
        const sees = world.now + Math.max(600, random.around(3_200, 0.9))
        if (!random.chance(0.75)) return
        watcher.untilMs = world.now
        left = 0
        world.at(sees, () => { take(session, slot, this.sitting(Math.max(openedAt, sees - random.around(60_000, 1)), Math.min(looks + 1, 60))) })
      },
    }
    const look = (): void => {
      if (world.now >= watcher.untilMs) return
      const session = this.platform.latest(doctor)
      if (session) this.platform.query(wish.hand, session)
      looks++
      world.at(world.now + Math.max(900, random.around(16 * SECOND_MS, 1)), look)
    }
    this.platform.watch(doctor, watcher)
    look()
    world.at(watcher.untilMs + random.between(0.4, 9) * HOUR_MS, () => { if (left > 1) this.bouts(wish, doctor, take, left - 1) })
  }

  private sitting(openedAt: number, pageViews: number): Sitting {
    return { id: this.world.nextId('ss', KIND.session), openedAt, pageViews, ...(this.random.chance(0.88) && { captchaMs: Math.max(300, this.random.around(1_900, 0.5)) }) }
  }
}
