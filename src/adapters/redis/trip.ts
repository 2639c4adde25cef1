import { Cluster, type ChainableCommander } from 'ioredis'
import type { LogWrite } from '../../domain/packed-log.js'
import type { RedisClient } from './connect.js'
import type { EntityKey, Keys } from './keys.js'
import { encodeWrite, OPERATION_WORDS } from './log-value.js'
import { COMPACT, digestOf, TRIP } from './script.js'
import type { Live } from './talk.js'

/** Redis did not do what was asked within its deadline, or could not be asked. What was sent may or may not have been done. */
export class RedisUnreachable extends Error {
  override readonly name = 'RedisUnreachable'
  readonly code = 'REDIS_UNREACHABLE'
  readonly retryable = true
}

/**
 * What is to be done about an entity beside appending to it: return what it was before; lock it, if nobody else has; give the
 * lock back; set its time to live anew. A step is packed in 32-bit little-endian words: number of words to be appended | these
 * bits | kind << 24, then the two words of the entity's hash, then what is to be appended. The script takes it apart.
 */
export const FETCH = 1 << 20, LOCK = 1 << 21, UNLOCK = 1 << 22, RENEW = 1 << 23
const STEP_WORDS = 3
const MOST_WORDS = FETCH - 1
/** Of one script: others wait about two milliseconds for it. */
const MOST_STEPS = 500
const FIRST_WORDS = { single: 2_048, cluster: 64 }

const TRIP_DIGEST = digestOf(TRIP), COMPACT_DIGEST = digestOf(COMPACT)
/** Errors after which a cluster's map of slots is out of date. */
const MOVED = /^(MOVED|ASK|CLUSTERDOWN|TRYAGAIN)/

/** Whose trip it is, and what holds for all of its steps. */
export interface Traveller { client: RedisClient; keys: Keys; prefix: string; me: Buffer; leaseMs: number; lifeS: number }

/** A base for the first `length` bytes of a value, which begins with `head`. */
export interface Compaction { key: EntityKey; head: Buffer; length: number; base: Buffer }

/** Steps that one script does. */
interface Load { key: EntityKey; words: Uint32Array; used: number; steps: number; asked: Live[]; replies: readonly unknown[] }

/** The fields that name an entity, and what its name is in a Cluster once somebody had to know. */
type Named = Pick<Live, 'kind' | 'hi' | 'lo' | 'key'>

/**
 * One trip to Redis. On a single server a few scripts in one pipeline, done in the order in which steps were added; in a Cluster
 * a script per hash slot, in a pipeline per node: there only the steps about one entity are done in their order.
 */
export class Trip {
  private readonly loads: Load[] = []
  private readonly bySlot = new Map<number, Load>()
  private readonly compactions: Compaction[] = []
  private readonly isCluster: boolean

  constructor(private readonly traveller: Traveller) { this.isCluster = traveller.client instanceof Cluster }

  get isEmpty(): boolean { return this.loads.length + this.compactions.length === 0 }

  compact(compaction: Compaction): void { this.compactions.push(compaction) }

  /** Appends these writes to an entity's value and does what the flags say. Returns how many words they are. */
  add(entity: Named, flags: number, writes: readonly LogWrite[]): number {
    const load = this.loadFor(entity)
    const head = load.used
    let at = head + STEP_WORDS
    reserve(load, at)
    for (const write of writes) {
      reserve(load, at + OPERATION_WORDS + ((write.put ?? write.drop)?.length ?? 0))
      at = encodeWrite(load.words, at, write)
    }
    const length = at - head - STEP_WORDS
    if (length > MOST_WORDS) throw new RangeError(`${length} words for one log are more than ${MOST_WORDS}`)
    load.words[head] = (length | flags | (entity.kind << 24)) >>> 0
    load.words[head + 1] = entity.hi
    load.words[head + 2] = entity.lo
    load.used = at
    load.steps++
    return length
  }

  /** As `add`, and its value comes back as it was before. */
  ask(live: Live, flags: number, writes: readonly LogWrite[]): number {
    this.loadFor(live).asked.push(live)
    return this.add(live, flags | FETCH, writes)
  }

  /** Every value asked for: its bytes, null for none, 0 for one that another process has locked. */
  *answers(): Generator<[live: Live, reply: unknown]> {
    for (const { asked, replies } of this.loads) for (const [i, live] of asked.entries()) yield [live, replies[i]]
  }

  /** Entities that nobody asked for, and whose values have grown so that somebody should fold them. */
  *swollen(): Generator<Omit<Named, 'key'>> {
    for (const { asked, replies } of this.loads) {
      for (let i = asked.length; i < replies.length; i++) {
        const tag = replies[i]
        if (Buffer.isBuffer(tag)) yield { kind: tag.readUInt8(0), hi: tag.readUInt32LE(1), lo: tag.readUInt32LE(5) }
      }
    }
  }

  private loadFor(entity: Named): Load {
    if (!this.isCluster) {
      const last = this.loads.at(-1)
      return last && last.steps < MOST_STEPS ? last : this.addLoad(this.traveller.keys.of(entity.kind, entity.hi, entity.lo), FIRST_WORDS.single)
    }
    const key = (entity.key ??= this.traveller.keys.of(entity.kind, entity.hi, entity.lo))
    let load = this.bySlot.get(key.slot)
    if (!load) this.bySlot.set(key.slot, (load = this.addLoad(key, FIRST_WORDS.cluster)))
    return load
  }

  private addLoad(key: EntityKey, words: number): Load {
    const load: Load = { key, words: new Uint32Array(words), used: 0, steps: 0, asked: [], replies: [] }
    this.loads.push(load)
    return load
  }

  /** Rejects with RedisUnreachable, and then has no answers. */
  async send(deadlineMs: number): Promise<void> {
    const { client, prefix, me, leaseMs, lifeS } = this.traveller
    const pipes = new Map<string, Pipe>()
    for (const { key, head, length, base } of this.compactions) {
      this.pipeFor(pipes, key).call(COMPACT, COMPACT_DIGEST, [key.value, head, length, base, lifeS])
    }
    for (const load of this.loads) {
      const steps = Buffer.from(load.words.buffer, 0, load.used * 4)
      this.pipeFor(pipes, load.key).call(TRIP, TRIP_DIGEST, [load.key.value, steps, prefix, me, leaseMs, lifeS], load)
    }
    const sent = [...pipes.values()]
    const answers = await beforeDeadline(Promise.all(sent.map(({ commands }) => commands.exec())), deadlineMs, client)
    for (const [i, { loads }] of sent.entries()) {
      for (const [n, load] of loads.entries()) {
        const [fault, reply] = answers[i]?.[n] ?? [new Error('no answer')]
        if (fault) throw await this.unreachable(fault)
        if (load && Array.isArray(reply)) load.replies = reply
      }
    }
  }

  private pipeFor(pipes: Map<string, Pipe>, { slot }: EntityKey): Pipe {
    const { client } = this.traveller
    const node = client instanceof Cluster ? (client.slots[slot] ?? []).join(',') : ''
    let pipe = pipes.get(node)
    if (!pipe) pipes.set(node, (pipe = new Pipe(client.pipeline())))
    return pipe
  }

  /** The message of an error reply, without its arguments: they are hashes, but no log needs them. */
  private async unreachable(fault: Error): Promise<RedisUnreachable> {
    const { client } = this.traveller
    if (client instanceof Cluster && MOVED.test(fault.message)) await new Promise<void>((done) => { client.refreshSlotsCache(() => { done() }) })
    return new RedisUnreachable(`Redis refused a command: ${fault.message.slice(0, 200)}`)
  }
}

/** What goes to one node. */
class Pipe {
  /** Whose reply the one at the same place is. */
  readonly loads: (Load | undefined)[] = []
  private readonly known = new Set<string>()

  constructor(readonly commands: ChainableCommander) {}

  /** The first of each pipeline carries the script, the others name it: so nobody must know which server has which. */
  call(script: string, digest: string, [key, ...rest]: [Buffer, ...(string | number | Buffer)[]], load?: Load): void {
    const isKnown = this.known.has(digest)
    this.known.add(digest)
    this.commands.callBuffer(isKnown ? 'evalsha' : 'eval', isKnown ? digest : script, 1, key, ...rest)
    this.loads.push(load)
  }
}

function reserve(load: Load, words: number): void {
  if (words <= load.words.length) return
  const larger = new Uint32Array(words * 2)
  larger.set(load.words)
  load.words = larger
}

/** A half-open socket never answers: the connection is given up with the trip, so that the next one does not wait behind it. */
async function beforeDeadline<T>(work: Promise<T>, deadlineMs: number, client: RedisClient): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let answered = false
  work.then(() => { answered = true }, () => { answered = true })
  const late = new Promise<never>((_, reject) => {
    const giveUp = (): void => {
      if (answered) return
      if (client.status === 'ready') client.disconnect(true)
      reject(new RedisUnreachable(`Redis did not answer within ${deadlineMs} ms`))
    }
    // Timers come before answers that have arrived meanwhile: after a busy moment of this process, those are read first.
    timer = setTimeout(() => { setImmediate(() => { setImmediate(giveUp) }) }, deadlineMs)
  })
  try {
    return await Promise.race([work, late])
  } catch (error) {
    throw error instanceof RedisUnreachable ? error : new RedisUnreachable(`Redis cannot be reached: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    clearTimeout(timer)
  }
}
