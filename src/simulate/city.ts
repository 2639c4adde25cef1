import { Citizens } from './citizens.js'
import { Gangs } from './gangs/gangs.js'
import { Platform } from './platform.js'
import { Reach } from './reach.js'
import { DAY_MS, MINUTE_MS, type CityEvent } from './wire.js'
import { World, type CityOptions } from './world.js'

/** A day is planned a little before it begins: some hospitals release at midnight, and pages are opened before. */
const PLANNED_BEFORE_MS = 20 * MINUTE_MS

/**
 * A labelled city: the events of `days` days in time order, made while they are read. What is kept is what is still to
 * come (open orders, sessions that are bookable), so memory grows with the bookings a day, not with the days.
 */
export function* city(options: CityOptions): Generator<CityEvent, void, undefined> {
  const world = new World(options)
  const platform = new Platform(world), reach = new Reach(world)
  const citizens = new Citizens(world, platform, reach)
  const gangs = new Gangs(world, platform, reach, citizens)
  platform.openEarlier()
  for (let day = 0; day < world.days; day++) {
    world.at(world.startMs + day * DAY_MS - PLANNED_BEFORE_MS, () => {
      platform.planDay(day)
      citizens.planDay(day)
      gangs.planDay(day)
    })
  }
  while (world.agenda.step(world.endMs)) {
    if (world.out.length === 0) continue
    yield* world.out
    world.out.length = 0
  }
}
