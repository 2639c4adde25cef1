import type { Exchange, LogWrite, PackedLog } from '../../domain/packed-log.js'
import type { EntityKey } from './keys.js'
import type { LiveLog } from './live-log.js'

/** One entity while conversations of this process are about it. */
export class Live {
  /** Undefined until it was fetched, and locked if it leads. */
  log: LiveLog | undefined
  /** Conversations that still need it. */
  users = 0
  /** Of waiting conversations, to be appended as it is fetched. */
  early: LogWrite[] = []
  /** To be appended by the next trip, before anything is fetched. */
  unsent: LogWrite[] = []
  /** Words that its log is about to grow by. */
  room = 0
  /** A lead that another process holds is asked for again from this time on. */
  retryAtMs = 0
  /** Its time to live is to be set anew. */
  isAging = false
  /** The round in which a conversation that must wait claimed it. */
  claimedIn = 0
  /** Its name in a Cluster, once it was needed. */
  key: EntityKey | undefined
  /** Another one with the same low word. */
  next: Live | undefined

  /** `lead`: decides what is written to others, so only one process at a time is about it. */
  constructor(readonly kind: number, readonly hi: number, readonly lo: number, readonly lead: boolean) {}

  /** Whether its time to live is to be set anew; the answer is given once. */
  takeAging(): boolean {
    const { isAging } = this
    this.isAging = false
    return isAging
  }
}

/** All entities in hand, by the low word of their hash. */
export class Lives {
  private readonly byLow = new Map<number, Live>()

  find({ kind, hi, lo }: LogWrite): Live | undefined {
    let live = this.byLow.get(lo | 0)
    while (live && (live.kind !== kind || live.hi !== hi)) live = live.next
    return live
  }

  add(live: Live): void {
    live.next = this.byLow.get(live.lo | 0)
    this.byLow.set(live.lo | 0, live)
  }

  delete(live: Live): void {
    const first = this.byLow.get(live.lo | 0)
    if (first === live) {
      if (live.next) this.byLow.set(live.lo | 0, live.next)
      else this.byLow.delete(live.lo | 0)
      return
    }
    let before = first
    while (before && before.next !== live) before = before.next
    if (before) before.next = live.next
  }

  clear(): void { this.byLow.clear() }
}

/** What a conversation has to append to a leading log. */
export interface LeadWrites { live: Live; writes: LogWrite[] }

/** A conversation under way. `writes` is what it said last and has no answer to yet; `lives` and `sent` go with them. */
export class Talk {
  /** Undefined where nobody reads the answer and nothing is in hand: such a write is on its way without more ado. */
  lives: (Live | undefined)[] = []
  sent: boolean[] = []
  /** All that it is or was about. */
  readonly held: Live[] = []
  /** What it has to append to leading logs once all that follows from it is written. */
  readonly leads: LeadWrites[] = []
  /** Has operations on the way that must land before its leads are written. */
  hasUnsent = false
  isFirst = true
  private heldSinceMs: number | undefined
  result: unknown

  constructor(
    private readonly exchange: Exchange<unknown>, public writes: readonly LogWrite[],
    readonly resolve: (result: unknown) => void, readonly reject: (error: unknown) => void,
  ) {}

  /** For how long another process has had a log that it needs; our own queue does not count. */
  heldForMs(nowMs: number): number {
    const isHeld = this.lives.some((live) => live?.lead === true && !live.log && live.retryAtMs > 0)
    this.heldSinceMs = isHeld ? this.heldSinceMs ?? nowMs : undefined
    return nowMs - (this.heldSinceMs ?? nowMs)
  }

  /** Undefined when it has ended. */
  next(logs: readonly PackedLog[]): readonly LogWrite[] | undefined {
    const step = this.exchange.next(logs)
    this.isFirst = false
    if (step.done === true) { this.result = step.value; return undefined }
    return (this.writes = step.value)
  }

  /** A write to a leading log, for later. */
  writeLead(live: Live, write: LogWrite): void {
    const lead = this.leads.find((one) => one.live === live)
    if (lead) lead.writes.push(write)
    else this.leads.push({ live, writes: [write] })
  }
}
