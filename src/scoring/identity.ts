import type { Sex } from '../domain/event.js'
import { civilDate, type CivilDate } from './formats.js'

/**
 * What can be told from an identity without asking anybody: the form of resident IDs (GB 11643), phones and names,
 * the age at a visit, and the masks that people may see. Pure; nothing in here is kept or logged.
 */

/** First two digits that exist: provinces of GB/T 2260; 81, 82, 83 on residence permits. */
const PROVINCES = new Set([
  11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46,
  50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
].map(String))
const CHECKSUM_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
const CHECKSUM_SIGNS = '10X98765432'
const RESIDENT_ID = /^\d{17}[\dX]$/
/** The card for foreign permanent residents before 2023: three letters of a country, or a 9, and no checksum to test. */
const OLD_FOREIGN_ID = /^(?:9[0-9A-Z]{14}|[A-Z]{3}\d{12})$/
const OLDEST_YEARS = 150
/** What `province` says when the digits name none. */
const NO_PROVINCE = '00'

/**
 * One spelling per ID number: upper case, without spaces and dashes. A 15-digit resident ID (issued until 1999) becomes
 * the 18 digits that the same person has today, so that both get one token.
 */
export function normaliseId(text: string): string {
  const id = text.normalize('NFKC').replace(/[\s\-‐-―]/g, '').toUpperCase()
  if (!/^\d{15}$/.test(id) || !isProvince(id.slice(0, 2))) return id
  const body = `${id.slice(0, 6)}19${id.slice(6)}`
  return birthDateIn(body) === undefined ? id : body + checksumOf(body)
}

const isProvince = (digits: string): boolean => PROVINCES.has(digits)
const birthDateIn = (id: string): CivilDate | undefined => civilDate(Number(id.slice(6, 10)), Number(id.slice(10, 12)), Number(id.slice(12, 14)))

/** The sign that GB 11643 puts behind 17 digits (the first 17 characters of `body`). */
export function checksumOf(body: string): string {
  let sum = 0
  for (let i = 0; i < 17; i++) sum += (CHECKSUM_WEIGHTS[i] ?? 0) * (body.charCodeAt(i) - 48)
  return CHECKSUM_SIGNS.charAt(sum % 11)
}

export interface ResidentIdReading {
  /** False only when no office can have issued it: form, region, birth date or checksum. */
  possible: boolean
  checksumValid: boolean
  /** First two digits; 00 when they name no province. */
  province: string
  /** Both only of an ID that is possible. */
  birth?: CivilDate
  sex?: Sex
}

/** Reads a normalised resident ID (type 01). `on` is the day of the event: nobody is born after it, or 150 years before. */
export function readResidentId(id: string, on: CivilDate): ResidentIdReading {
  if (OLD_FOREIGN_ID.test(id)) return { possible: true, checksumValid: true, province: NO_PROVINCE }
  if (!RESIDENT_ID.test(id)) return { possible: false, checksumValid: false, province: NO_PROVINCE }
  const checksumValid = checksumOf(id) === id[17]
  const isKnownRegion = isProvince(id.slice(0, 2)) || id.startsWith('9')
  const province = isKnownRegion ? id.slice(0, 2) : NO_PROVINCE
  const birth = birthDateIn(id)
  const isPlausibleBirth = birth !== undefined && birth <= on && birth >= on - OLDEST_YEARS * 10_000
  if (!checksumValid || !isKnownRegion || !isPlausibleBirth) return { possible: false, checksumValid, province }
  return { possible: true, checksumValid, province, birth, sex: Number(id[16]) % 2 === 1 ? 'M' : 'F' }
}

/** Whole years on a day; undefined before birth and beyond 150. Somebody born on 29 February turns on 1 March. */
export function ageOn(day: CivilDate, birth: CivilDate): number | undefined {
  const years = Math.floor((day - birth) / 10_000)
  return years >= 0 && years <= OLDEST_YEARS ? years : undefined
}

/** Midnight falls on a quarter of an hour in every zone, so one answer holds for the whole quarter. */
const QUARTER_MS = 15 * 60_000
const MAX_QUARTERS = 10_000
const calendars = new Map<string, { format: Intl.DateTimeFormat; days: Map<number, CivilDate> }>()

/** The calendar day at an instant (epoch milliseconds) in an IANA time zone. Asking Intl costs 2 us, so days are remembered. */
export function civilDateAt(instant: number, zone: string): CivilDate {
  let calendar = calendars.get(zone)
  if (!calendar) {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, calendar: 'gregory', year: 'numeric', month: 'numeric', day: 'numeric' })
    calendars.set(zone, calendar = { format, days: new Map() })
  }
  const quarter = Math.floor(instant / QUARTER_MS)
  const known = calendar.days.get(quarter)
  if (known !== undefined) return known
  const parts = Object.fromEntries(calendar.format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]))
  const day = (parts['year'] ?? 0) * 10_000 + (parts['month'] ?? 0) * 100 + (parts['day'] ?? 0)
  if (calendar.days.size >= MAX_QUARTERS) calendar.days.clear()
  calendar.days.set(quarter, day)
  return day
}

const MOBILE = /^1[3-9]\d{9}$/
/** Blocks given to virtual operators as a whole. */
const VIRTUAL_OPERATORS = new Set(['162', '165', '167', '170', '171'])

/** Digits only, without the country code of China. Empty when there is no digit. */
export function normalisePhone(text: string): string {
  const digits = text.normalize('NFKC').replace(/\D/g, '')
  return digits.replace(/^(?:00)?86(?=1\d{10}$)/, '')
}

/** The form of a mobile number in China; takes a normalised phone. */
export const isMobile = (phone: string): boolean => MOBILE.test(phone)

/** Takes a normalised phone. */
export const isVirtualOperator = (phone: string): boolean => isMobile(phone) && VIRTUAL_OPERATORS.has(phone.slice(0, 3))

/** One spelling per name: one kind of middle dot, single spaces, upper case. */
export function normaliseName(text: string): string {
  return text.normalize('NFKC').trim().replace(/\s+/g, ' ').replace(/[•‧∙・.]/g, '·').toUpperCase()
}

/** 2-30 letters of any script, with the marks, dots, spaces, dashes and apostrophes that stand in names. Takes a normalised name. */
export const isNameForm = (name: string): boolean => /^\p{L}[\p{L}\p{M}· '’-]{1,29}$/u.test(name)

/** A whole text that is an ID number or a mobile number, however it is spaced. */
export function looksLikeIdentity(text: string): boolean {
  const id = normaliseId(text)
  if (RESIDENT_ID.test(id) || /^\d{15}$/.test(id)) return true
  return /^[\d\s+().-]+$/.test(text.normalize('NFKC')) && isMobile(normalisePhone(text))
}

/** Eleven digits in a row, full-width ones too, single spaces and dashes between them not counted: long enough for a phone or an ID number. */
export const holdsLongNumber = (text: string): boolean => /(?:\d[ -]?){10}\d/.test(text.normalize('NFKC'))

/** A mask hides at least this many characters, or all of them. */
const MIN_HIDDEN = 6

/** 王小明 -> 王**, whatever the length; a single character shows nothing. */
export function maskName(name: string): string {
  const [first = '', ...rest] = name.trim()
  return rest.length === 0 ? '*' : `${first}**`
}

/** 13800001234 -> 138****1234. Anything that is no mobile number shows nothing. */
export function maskPhone(phone: string): string {
  const digits = normalisePhone(phone)
  return isMobile(digits) ? `${digits.slice(0, 3)}****${digits.slice(7)}` : '*'.repeat(Math.max(digits.length, MIN_HIDDEN))
}

/** First 3 and last 2 of an ID number; shows nothing when that would hide fewer than six characters, as of most passports. */
export function maskId(id: string): string {
  const text = normaliseId(id)
  const hidden = text.length - 5
  return hidden >= MIN_HIDDEN ? text.slice(0, 3) + '*'.repeat(hidden) + text.slice(-2) : '*'.repeat(Math.max(text.length, MIN_HIDDEN))
}
