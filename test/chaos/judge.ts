import type { Ledger, PlacedHold } from './ledger.js'

export interface Verdict {
  requests: number
  otherEvents: number
  decided: number
  /** Requests without a decision on the topic, and other events that the product does not know. */
  lost: number
  /** Event ids with two decisions, holds with two ends. */
  doubled: number
  /** Copies beyond the first: at-least-once delivery at work. */
  decisionsAgain: number
  endingsAgain: number
  holds: number
  /** By resolution. */
  ended: Record<string, number>
  active: number
  /** Event ids of what is wrong, by what it is; of an event that is lost without a name, those it was sent with. */
  wrong: { lost: string[]; differing: string[]; endedTwice: string[] }
  violations: string[]
}

export interface Evidence {
  ledger: Ledger
  /** Hold ids that `GET /v1/holds?status=active` names at the end. */
  active: ReadonlySet<string>
  /** Other events that were taken as new when they were all sent once more. */
  unknown: readonly string[]
  /** Whether nothing should have ended this hold. */
  mayBeActive: (hold: PlacedHold) => boolean
  deadLetters: number
}

interface Ending { hold_id: string; event_id: string; order_id: string; resolution: string }

/** The judgement, from what was seen outside alone. */
export function judge({ ledger, active, unknown, mayBeActive, deadLetters }: Evidence): Verdict {
  const { sent, decisions, endings, holds, deskAnswers } = ledger
  const violations = [...ledger.violations]
  const say = (text: string): void => { violations.push(text) }
  const requests = [...sent.values()].filter(({ type }) => type === 'booking.requested').map(({ event_id: id }) => id)

  const undecided = requests.filter((id) => (decisions.get(id)?.topic ?? 0) === 0)
  for (const id of undecided) say(`${id} has no decision on booking-decisions${decisions.has(id) ? ', but one was given out over HTTP' : ''}`)
  for (const id of unknown) say(`${id} was acknowledged and is not known any more`)
  const twice = [...decisions].filter(([, { bytes }]) => bytes.size > 1)
  for (const [id, { bytes }] of twice) say(`${id} has ${bytes.size} decisions: ${[...bytes].join(' | ')}`)
  for (const id of decisions.keys()) if (sent.get(id)?.type !== 'booking.requested') say(`${id} was decided and never asked for`)
  if (deadLetters > 0) say(`${deadLetters} dead letters of good events`)

  const ended: Record<string, number> = {}
  const endedTwice: string[] = []
  for (const [id, { bytes, topic, callback }] of endings) {
    const hold = holds.get(id)
    const [first] = [...bytes].map((text) => JSON.parse(text) as Ending)
    if (bytes.size > 1) { endedTwice.push(first?.event_id ?? ''); say(`hold ${id} ended in two ways: ${[...bytes].join(' | ')}`) }
    if (topic === 0 || callback === 0) say(`the end of hold ${id} came ${topic} times on the topic and ${callback} times by callback`)
    if (hold?.eventId !== first?.event_id || hold?.orderId !== first?.order_id) say(`hold ${id} ended and was never placed for ${first?.event_id ?? 'it'}`)
    if (first) ended[first.resolution] = (ended[first.resolution] ?? 0) + 1
    const told = deskAnswers.get(id)
    if (told !== undefined && first && told !== first.resolution) say(`a reviewer was told that hold ${id} is ${told}, the message says ${first.resolution}`)
  }
  for (const [id, hold] of holds) {
    if (endings.has(id) === active.has(id)) say(`hold ${id} is ${active.has(id) ? 'active although it ended' : 'not active, and nothing said how it ended'}`)
    else if (active.has(id) && !mayBeActive(hold)) say(`hold ${id} of ${hold.hospital} should have ended and is active`)
  }
  for (const id of active) if (!holds.has(id)) say(`hold ${id} is active and no decision placed it`)

  const copies = (map: Ledger['decisions'], road: 'topic' | 'callback'): number => [...map.values()].reduce((sum, seen) => sum + Math.max(0, seen[road] - 1), 0)
  return {
    requests: requests.length, otherEvents: sent.size - requests.length, decided: decisions.size, lost: undecided.length + unknown.length,
    doubled: twice.length + endedTwice.length, decisionsAgain: copies(decisions, 'topic'), endingsAgain: copies(endings, 'topic') + copies(endings, 'callback'),
    holds: holds.size, ended, active: active.size,
    wrong: { lost: [...undecided, ...unknown.map((text) => text.split(' ').at(-1) ?? '')], differing: twice.map(([id]) => id), endedTwice }, violations,
  }
}
