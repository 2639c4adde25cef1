import { randomBytes } from 'node:crypto'
import { connectRedis, type RedisClient } from '../../../src/adapters/redis/connect.js'
import { shortPrefix } from '../../../src/adapters/redis/keys.js'
import { createRedisVelocityStore } from '../../../src/adapters/redis/velocity-store.js'
import { loadRulebook } from '../../../src/main/rules.js'
import { decode } from '../../../src/scoring/decode.js'
import { observe } from '../../../src/scoring/observe.js'
import { layoutOf, LOG_KINDS } from '../../../src/scoring/plan.js'
import { createTokeniser, toBookingEvent, type Tokeniser } from '../../../src/scoring/tokenise.js'
import { startRedis } from '../../support/redis.js'
import { against, type BenchOptions, type RowResult } from '../figures.js'
import { childWith, cpuUsOfTree } from '../processes.js'
import { profiled, topSelfTimes } from '../profile.js'
import { releaseMinute, type WireEvent } from '../release-minute.js'

const [DAY, DAYS] = [86_400_000, 30]
const ZONE = 'Asia/Shanghai'
/** Conversations under way at once: flat out, but within what one trip takes. */
const AT_ONCE = 400

/** Days after which all values are looked at. */
const SEEN_DAYS = [1, 2, 5, 10, 20, DAYS]

/** How large Redis is at the end of a day. `kinds`: keys and the sum of their values, by kind of entity; on some days. */
interface Size { day: number; bytes: number; entities: number; events: number; bookings: number; kinds: ReadonlyMap<number, Values> }
interface Values { keys: number; bytes: number }

/** What 30 days of a city leave in Redis: bytes per entity, and the law by which they grow. */
export async function run(options: BenchOptions): Promise<RowResult> {
  const perDay = options.quick ? 300 : 4_000
  const redis = await startRedis()
  if (!redis) throw new Error('this row needs redis-server')
  const client = await connectRedis(redis.urls, (fault) => { throw fault })
  try {
    const { plan } = await loadRulebook('rules', [])
    const layout = layoutOf(plan)
    const tokeniser = await createTokeniser(randomBytes(32))
    const prefix = shortPrefix(randomBytes(6).toString('hex'))
    const store = createRedisVelocityStore({ client, layout, prefix, deadlineMs: 10_000 })
    const sizes = [await sizeOf(client, prefix, { day: 0, events: 0, bookings: 0 })]
    const began = performance.now(), redisBefore = cpuUsOfTree(childWith('redis-server')), cpuBefore = process.cpuUsage()
    const work = async (): Promise<void> => {
      for (let day = 1; day <= DAYS; day++) {
        const events = dayOf(day, perDay)
        await observeAll(events, tokeniser, (event) => store.run(observe(plan, event)))
        const before = sizes.at(-1)
        sizes.push(await sizeOf(client, prefix, { day, events: (before?.events ?? 0) + events.length, bookings: (before?.bookings ?? 0) + events.filter((e) => e.scored).length }))
      }
    }
    const notes: string[] = []
    if (options.profileDir === undefined) await work()
    else {
      const path = `${options.profileDir}/redis-state.cpuprofile`
      await profiled(path, work)
      notes.push(`profile: ${path}`, ...topSelfTimes(path, 30))
    }
    const { user, system } = process.cpuUsage(cpuBefore)
    const spent = { seconds: (performance.now() - began) / 1000, redisUs: cpuUsOfTree(childWith('redis-server')) - redisBefore, nodeUs: user + system }
    return resultOf(sizes, spent, perDay, notes)
  } finally {
    client.disconnect()
    await redis.stop()
  }
}

/** One day: half of its bookings when slots open, the others until the evening, and what becomes of them. */
function dayOf(day: number, bookings: number): WireEvent[] {
  const startMs = Math.floor(Date.now() / DAY) * DAY - (DAYS + 1 - day) * DAY - 3_600_000
  return [
    ...releaseMinute({ seed: 11, wave: 2 * day, startMs, bookings: bookings / 2, spreadMs: 60_000 }),
    ...releaseMinute({ seed: 11, wave: 2 * day + 1, startMs: startMs + 600_000, bookings: bookings / 2, spreadMs: DAY / 2 }),
  ]
}

async function observeAll(events: readonly WireEvent[], tokeniser: Tokeniser, count: (event: ReturnType<typeof toBookingEvent>) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < events.length; at += AT_ONCE) {
    await Promise.all(events.slice(at, at + AT_ONCE).map(({ json }) => {
      const decoded = decode(json)
      if (!decoded.ok) throw new Error('the bench made a bad event')
      return count(toBookingEvent(decoded.input, tokeniser, ZONE))
    }))
  }
}

async function sizeOf(client: RedisClient, prefix: string, { day, events, bookings }: Pick<Size, 'day' | 'events' | 'bookings'>): Promise<Size> {
  const memory = await client.info('memory')
  const size = { day, events, bookings, bytes: Number(/^used_memory:(\d+)/m.exec(memory)?.[1]), entities: await client.dbsize() }
  return { ...size, kinds: SEEN_DAYS.includes(day) ? await valuesOf(client, prefix) : new Map<number, Values>() }
}

/** A key is its prefix, then one byte of kind in a brace. */
async function valuesOf(client: RedisClient, prefix: string): Promise<Map<number, Values>> {
  const found = new Map<number, Values>()
  for (let cursor = '0'; ;) {
    const [next, keys] = await client.scanBuffer(cursor, 'COUNT', 1_000)
    const lengths = client.pipeline()
    for (const key of keys) lengths.callBuffer('strlen', key)
    const answers = await lengths.exec() ?? []
    for (const [i, key] of keys.entries()) {
      const kind = key[prefix.length + 1] ?? -1
      const sum = found.get(kind) ?? { keys: 0, bytes: 0 }
      found.set(kind, { keys: sum.keys + 1, bytes: sum.bytes + Number(answers[i]?.[1]) })
    }
    cursor = next.toString()
    if (cursor === '0') return found
  }
}

const valueBytes = ({ kinds }: Size): number => [...kinds.values()].reduce((sum, { bytes }) => sum + bytes, 0)

function resultOf(sizes: readonly Size[], spent: { seconds: number; redisUs: number; nodeUs: number }, perDay: number, notes: readonly string[]): RowResult {
  const [empty, ...days] = sizes
  const last = days.at(-1), before = days.at(-2)
  if (!empty || !last || !before) throw new Error('nothing was counted')
  const each = (size: Size): number => (size.bytes - empty.bytes) / size.entities
  const besides = (size: Size): number => (size.bytes - empty.bytes - valueBytes(size)) / size.entities
  const rows = days.filter(({ day }) => SEEN_DAYS.includes(day)), [first] = days
  if (!first) throw new Error('nothing was counted')
  return {
    row: 'redis-state', title: `${DAYS} days of a city (${perDay.toLocaleString('en-US')} bookings a day) counted in Redis, straight through the velocity store`,
    figures: [
      { what: 'Redis memory per entity', value: each(last), unit: 'bytes', bar: 300, beyond: 200, atMost: true, ...against('after 1 day', each(first), 'bytes') },
      { what: 'entities', value: last.entities, unit: '', ...against('events', last.events, '') },
      { what: 'growth on the last day', value: (last.bytes - before.bytes) / 1e6, unit: 'MB', ...against('on the second', ((days[1]?.bytes ?? NaN) - first.bytes) / 1e6, 'MB') },
      { what: 'per booking with what follows it', value: (last.bytes - empty.bytes) / last.bookings, unit: 'bytes' },
      { what: 'growth law: each entity takes', value: besides(last), unit: 'bytes', ...against('after 1 day', besides(first), 'bytes') },
      { what: 'and each event, over all it is about', value: valueBytes(last) / last.events, unit: 'bytes', ...against('after 1 day', valueBytes(first) / first.events, 'bytes') },
      { what: 'counted', value: last.events / spent.seconds, unit: 'events/s', ...against('bookings', last.bookings / spent.seconds, '/s') },
      { what: 'CPU of an event, Redis', value: spent.redisUs / last.events, unit: 'us', ...against('this process', spent.nodeUs / last.events, 'us') },
    ],
    notes: [
      ...rows.map((size) => `day ${size.day}: ${size.entities.toLocaleString('en-US')} entities, ${each(size).toFixed(0)} bytes each, ${(size.events / size.entities).toFixed(2)} events per entity, ${((size.bytes - empty.bytes) / 1e6).toFixed(1)} MB, of them ${(valueBytes(size) / 1e6).toFixed(1)} MB values`),
      `values by kind, keys x mean bytes: ${[...last.kinds].sort(([, a], [, b]) => b.bytes - a.bytes).map(([kind, { keys, bytes }]) => `${LOG_KINDS[kind] ?? kind} ${keys.toLocaleString('en-US')} x ${Math.round(bytes / keys)}`).join(', ')}`,
      ...notes,
    ],
  }
}
