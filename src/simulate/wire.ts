/** Events and labels as they are written (CONTRACT sections 1 and 4). Members that are undefined are not written. */

export const SECOND_MS = 1_000
export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 86_400_000

export type Wire = Readonly<Record<string, unknown>>

/** CONTRACT 4; the innocent groups are those of DOMAIN 4. */
export interface Label { event_id: string; label: 'scalper' | 'legit'; tactic?: Tactic; gang?: string; group?: Group }
/** Who is behind a request, as the label says it. */
export type Tag = { group: Group } | { tactic: Tactic; gang: string }

export interface CityEvent {
  /** Epoch milliseconds. */
  at: number
  /** The schedule it is about, else its own id: CONTRACT 1 recommends it as the message's key. */
  key: string
  event: Wire
  /** Of booking.requested only. */
  label?: Label
}

export const TACTICS = ['T1', 'T2', 'T3', 'T4', 'T5', 'T6', 'T7', 'T8', 'T9', 'T10', 'T11', 'T12', 'T13', 'T14', 'T15'] as const
export type Tactic = (typeof TACTICS)[number]

export const GROUPS = [
  'plain', 'family', 'far_child', 'child_without_id', 'village_clinic', 'call_centre', 'kiosk', 'nat', 'hospital_wifi', 'chronic', 'autofill', 'release_crowd',
  'stopped_session', 'outage', 'waitlist', 'family_rebook', 'newcomer', 'bound_just_before', 'favourite', 'shared_payer', 'companion', 'return_watcher',
  'shared_block', 'vpn_rooted_virtual',
] as const
export type Group = (typeof GROUPS)[number]

export interface Channel { id: string; kind: 'app' | 'web' | 'mini_program' | 'phone' | 'kiosk' | 'window' | 'partner' }
export interface Account { id: string; registeredAt: number }
export interface Device { id: string; model: string; os: string; app_version?: string; emulator: boolean; rooted: boolean }
export interface Network { ip: string; proxy: boolean; datacenter: boolean }
/** One opening of the page, up to the submit. */
export interface Sitting { id: string; openedAt: number; pageViews?: number; captchaMs?: number }

/** Whose hands a request goes through: everything but the patient and the slot. */
export interface Hand {
  channel: Channel
  account?: Account
  device?: Device
  network?: Network
  payer?: string
  operator?: { id: string; seat: string }
}

export const accountWire = (account: Account): Wire => ({ id: account.id, registered_at: time(account.registeredAt) })
export const sittingWire = ({ id, openedAt, pageViews, captchaMs }: Sitting): Wire =>
  ({ id, opened_at: time(openedAt), page_views: pageViews, captcha_ms: captchaMs === undefined ? undefined : Math.round(captchaMs) })

/** China's offset: the platform writes its own local time. */
const OFFSET_MS = 8 * HOUR_MS
const days = new Map<number, string>()

/** Epoch milliseconds -> RFC 3339 in China's time. Written by hand: it runs five times per event. */
export function time(ms: number): string {
  const local = Math.floor(ms) + OFFSET_MS
  const day = Math.floor(local / DAY_MS), rest = local - day * DAY_MS
  let date = days.get(day)
  if (date === undefined) {
    if (days.size > 20_000) days.clear()
    days.set(day, date = new Date(day * DAY_MS).toISOString().slice(0, 11))
  }
  const seconds = Math.floor(rest / 1000)
  return `${date}${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${three(rest % 1000)}+08:00`
}

const two = (value: number): string => value < 10 ? `0${value}` : `${value}`
const three = (value: number): string => value < 10 ? `00${value}` : value < 100 ? `0${value}` : `${value}`
