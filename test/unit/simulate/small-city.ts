import { city } from '../../../src/simulate/city.js'
import type { CityEvent } from '../../../src/simulate/wire.js'
import type { CityOptions } from '../../../src/simulate/world.js'

/** An event as a reader gets it: no undefined members. */
export interface Told {
  event_id: string
  type: string
  occurred_at: string
  order_id?: string
  channel?: { id: string; kind: string }
  account?: { id: string; registered_at: string }
  patient?: { id_type: string; id_number: string; name: string; phone: string; sex: string; birth_date: string; relation?: string; bound_at?: string }
  slot?: {
    hospital_id: string; department_id: string; doctor_id: string; clinic: string; schedule_id: string; slot_id?: string; visit_at?: string; released_at?: string; fee_fen?: number
  }
  device?: { id: string; model: string; os: string; app_version?: string; emulator: boolean; rooted: boolean }
  network?: { ip: string; proxy: boolean; datacenter: boolean }
  session?: { id: string; opened_at: string; page_views?: number; captcha_ms?: number }
  payer?: { id: string }
  operator?: { id: string; seat: string }
  cancel?: { by: string; reason: string }
  verification?: { kind: string }
  count?: number
  re_release?: boolean
}

export interface Read { at: number; key: string; text: string; told: Told; label?: CityEvent['label'] }

/** The events of a city as they are read from its file, one by one. */
export function* read(options: CityOptions): Generator<Read> {
  for (const { at, key, event, label } of city(options)) {
    const text = JSON.stringify(event)
    yield { at, key, text, told: JSON.parse(text) as Told, ...(label && { label }) }
  }
}

/** Bytes of a city, labels included. */
export const bytesOf = (options: CityOptions): string => {
  const lines: string[] = []
  for (const { text, label } of read(options)) lines.push(text, JSON.stringify(label))
  return lines.join('\n')
}

export const count = <T>(list: Iterable<T>): Map<T, number> => {
  const counts = new Map<T, number>()
  for (const one of list) counts.set(one, (counts.get(one) ?? 0) + 1)
  return counts
}
