import type { Doctor } from '../hospitals.js'
import type { Watcher } from '../platform.js'
import { MINUTE_MS, SECOND_MS } from '../wire.js'
import type { Gang } from './gang.js'
import { arm, fire, type Ground, type Strike } from './strike.js'

const WINS_PER_WATCH = 2

/** T5: a doctor polled every few seconds for a quarter or half an hour; a slot that comes back is asked for at the next poll. */
export function poll(ground: Ground, gang: Gang, doctor: Doctor, fromMs: number, day: number): void {
  const { world, platform, random, reach } = ground
  const isLearned = random.chance(gang.skill(day))
  const periodMs = random.pick([1, 2, 3, 5]) * SECOND_MS * (isLearned ? random.between(1.5, 5) : 1)
  const untilMs = fromMs + random.between(12, 30) * MINUTE_MS
  const held = gang.account('aged'), play = gang.play('T5')
  const hand = { ...reach.online(held.n, random), account: held.account, device: gang.device(held, 'pool'), network: gang.network(held, false, day) }
  const ready = Array.from({ length: WINS_PER_WATCH }, () => {
    const it: Strike = { gang, tactic: 'T5', play, day, atMs: fromMs, doctor, ...(random.chance(0.6) && { held }) }
    return { it, armed: arm(ground, it) }
  })
  const watcher: Watcher = {
    fromMs, untilMs,
    react: (session, slot) => {
      const next = ready.pop()
      if (next === undefined) return
      const seenMs = world.now + random.between(0.1, 1) * periodMs
      world.at(seenMs + random.around(700, 0.5), () => { fire(ground, { ...next.it, session, slot }, next.armed) })
    },
  }
  const look = (): void => {
    if (world.now >= untilMs || ready.length === 0) return
    const session = platform.latest(doctor)
    if (session) platform.query(hand, session)
    world.at(world.now + periodMs * (isLearned ? random.around(1, 0.45) : random.between(0.98, 1.03)), look)
  }
  world.at(fromMs, () => { platform.watch(doctor, watcher); look() })
}
