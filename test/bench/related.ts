import type { WireEvent } from './release-minute.js'

/** What an event is about, as the platform knows it: names of entities, the most telling first. */
type Entities = readonly string[]

interface Body {
  order_id?: string
  account?: { id?: string }
  patient?: { id_number?: string; phone?: string }
  device?: { id?: string }
  network?: { ip?: string }
  payer?: { id?: string }
  operator?: { seat?: string }
  slot?: { slot_id?: string; schedule_id?: string; doctor_id?: string }
}

/** By event id. What follows an order is about all that the order's request was about. A channel is shared by nearly everybody, and left out. */
function entitiesOf(events: readonly WireEvent[]): Map<string, Entities> {
  const ofOrder = new Map<string, Entities>()
  const ofEvent = new Map<string, Entities>()
  for (const { id, json, scored } of events) {
    const body = JSON.parse(json) as Body
    const own = namesIn(body)
    const all = [...new Set([...own, ...(body.order_id === undefined ? [] : ofOrder.get(body.order_id) ?? [])])]
    if (scored && body.order_id !== undefined) ofOrder.set(body.order_id, own)
    ofEvent.set(id, all)
  }
  return ofEvent
}

function namesIn({ order_id, account, patient, device, network, payer, operator, slot }: Body): string[] {
  const all: [string, string | undefined][] = [
    ['order', order_id], ['slot', slot?.slot_id], ['patient', patient?.id_number], ['account', account?.id],
    ['device', device?.id], ['payer', payer?.id], ['phone', patient?.phone], ['id prefix', patient?.id_number?.slice(0, 14)], ['ip', network?.ip],
    ['seat', operator?.seat], ['ip prefix', network?.ip?.split('.').slice(0, 3).join('.')],
    ['schedule', slot?.schedule_id], ['doctor', slot?.doctor_id],
  ]
  return all.flatMap(([kind, name]) => (name === undefined ? [] : [`${kind} ${name}`]))
}

/** From when an event was sent until its effects were seen, epoch ms. */
export interface Flight { fromMs: number; toMs: number }

export interface RelatedEvent { id: string; shared: string; apartMs: number }

/**
 * Finds events that were on their way at the same time, share an entity, and might as well have come first or second: those
 * of one key have an order, and what happened later counts for nothing in what happened before it.
 */
export class InFlight {
  private readonly byEntity = new Map<string, string[]>()
  private readonly events: ReadonlyMap<string, WireEvent>
  private readonly entities: ReadonlyMap<string, Entities>

  constructor(events: readonly WireEvent[]) {
    this.events = new Map(events.map((event) => [event.id, event]))
    this.entities = entitiesOf(events)
    for (const [id, names] of this.entities) {
      for (const name of names) {
        const all = this.byEntity.get(name)
        if (all) all.push(id)
        else this.byEntity.set(name, [id])
      }
    }
  }

  /** The nearest related event whose flight overlaps that of `id`, sharing the most telling entity there is; undefined: there is none. */
  relatedTo(id: string, flightOf: (id: string) => Flight): RelatedEvent | undefined {
    const mine = flightOf(id)
    for (const shared of this.entities.get(id) ?? []) {
      const near = (this.byEntity.get(shared) ?? []).filter((other) => {
        const { fromMs, toMs } = flightOf(other)
        return fromMs <= mine.toMs && toMs >= mine.fromMs && this.mayMatter(other, id)
      }).map((other) => ({ id: other, shared, apartMs: flightOf(other).fromMs - mine.fromMs }))
      const [nearest] = near.sort((a, b) => Math.abs(a.apartMs) - Math.abs(b.apartMs))
      if (nearest) return nearest
    }
    return undefined
  }

  private mayMatter(other: string, id: string): boolean {
    const [its, own] = [this.events.get(other), this.events.get(id)]
    return its !== undefined && own !== undefined && its.key !== own.key && its.at <= own.at
  }
}
