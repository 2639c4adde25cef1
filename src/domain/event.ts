/**
 * A booking event behind the door: tokenised, typed, times as epoch milliseconds.
 * Nothing in here identifies a person (PRODUCT promise 5): ID numbers, phones, names, and the platform's own
 * account, device, payer and seat ids are keyed tokens; free text is dropped.
 */

export const EVENT_TYPES = [
  'account.registered', 'account.logged_in',
  'patient.bound', 'patient.unbound',
  'schedule.released', 'schedule.stopped',
  'slot.queried',
  'booking.requested', 'booking.confirmed', 'booking.paid', 'booking.expired', 'booking.cancelled', 'booking.attended', 'booking.no_show',
  'verification.passed', 'verification.failed',
  'abuse.reported',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

export const CHANNEL_KINDS = ['app', 'web', 'mini_program', 'phone', 'kiosk', 'window', 'partner'] as const
export type ChannelKind = (typeof CHANNEL_KINDS)[number]

export const RELATIONS = ['self', 'child', 'parent', 'spouse', 'guardian', 'helper', 'other'] as const
export type Relation = (typeof RELATIONS)[number]

export type Sex = 'M' | 'F'

/** 128-bit keyed hash, 32 lower-case hex characters (decision 0003). */
export type Token = string

export interface Channel { id: string; kind: ChannelKind }

export interface Account { token: Token; registeredAt?: number }

/** What the door kept of an identity. Each field is absent when the event did not say (or it cannot be told). */
export interface Patient {
  token: Token
  idType: string
  /** Resident IDs (type 01 with a plausible 18-digit form) only. */
  id?: ResidentId
  name?: { token: Token; valid: boolean }
  phone?: { token: Token; prefixToken: Token; virtualOperator: boolean; valid: boolean }
  /** Sex the caller states, else the one in the ID. */
  sex?: Sex
  /** Whole years at the visit (at the event when the slot names no visit), in ZHENHAO_TIME_ZONE. */
  age?: number
  relation?: Relation
  boundAt?: number
}

export interface ResidentId {
  /** Form, region, birth date and checksum are all possible. False: an identity that cannot exist. */
  possible: boolean
  checksumValid: boolean
  /** Keyed token of the first 14 digits (region + birth date): shows sequences and shared birthdays. */
  prefixToken: Token
  /** First two digits, the province (GB/T 2260). */
  province: string
  /** The stated sex equals digit 17's; absent when no sex was stated. */
  sexAgrees?: boolean
  /** The stated birth date equals digits 7-14; absent when none was stated. */
  birthDateAgrees?: boolean
}

export interface Slot {
  hospitalId: string
  scheduleId: string
  departmentId?: string
  doctorId?: string
  clinic?: 'ordinary' | 'expert' | 'special'
  slotId?: string
  visitAt?: number
  releasedAt?: number
  feeFen?: number
  sexLimit?: 'any' | Sex
  ageMin?: number
  ageMax?: number
}

export interface Device { token?: Token; model?: string; os?: string; appVersion?: string; emulator?: boolean; rooted?: boolean }

export interface Network {
  ipToken?: Token
  /** Token of the /24 (IPv4) or /48 (IPv6). */
  prefixToken?: Token
  proxy?: boolean
  datacenter?: boolean
}

export interface Session { id?: string; openedAt?: number; pageViews?: number; captchaMs?: number }

export const CANCELLED_BY = ['patient', 'window', 'hospital', 'platform'] as const
export type CancelledBy = (typeof CANCELLED_BY)[number]

export interface BookingEvent {
  eventId: string
  type: EventType
  occurredAt: number
  orderId?: string
  channel?: Channel
  account?: Account
  patient?: Patient
  slot?: Slot
  device?: Device
  network?: Network
  session?: Session
  payer?: { token: Token }
  operator?: { token?: Token; seatToken?: Token }
  cancel?: { by?: CancelledBy }
  verification?: { kind: 'face' | 'sms' | 'captcha' | 'id_document' }
  /** schedule.released: how many slots; reRelease: a returned slot comes back. */
  count?: number
  reRelease?: boolean
}

/** The one scored type, with what CONTRACT section 1 requires of it. */
export type BookingRequest = BookingEvent & Required<Pick<BookingEvent, 'orderId' | 'channel' | 'patient' | 'slot'>> & { type: 'booking.requested' }

export const isBookingRequest = (event: BookingEvent): event is BookingRequest => event.type === 'booking.requested'

/** One thing wrong with an input: a JSON pointer and words. Never a value of the person. */
export interface FieldError { path: string; message: string }
