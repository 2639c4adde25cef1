/**
 * The text formats of the wire: instants, civil dates and IP addresses. Each parser is also the check of its format,
 * so what the schema lets in can always be read. Written out by hand because Date.parse rolls 30 February over
 * to March, and because they run eight times per booking.
 */

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
/** Days from 0000-03-01 to 1970-01-01. */
const DAYS_TO_EPOCH = 719_468

/** A day of the calendar as one number, yyyymmdd: ordered like the days themselves. */
export type CivilDate = number

/**
 * An RFC 3339 time with an offset -> epoch milliseconds; undefined when it is none. Digits beyond the millisecond are
 * cut off, not rounded. A leap second counts as the first second of the next minute.
 */
export function parseInstant(text: string): number | undefined {
  const date = civilDate(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2))
  const [hours, minutes, seconds] = [digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2)]
  const hasForm = text[4] === '-' && text[7] === '-' && (text[10] === 'T' || text[10] === 't') && text[13] === ':' && text[16] === ':'
  if (date === undefined || !hasForm || !(hours <= 23 && minutes <= 59 && seconds <= 60)) return undefined
  let end = 19
  let ms = 0
  if (text[19] === '.') {
    end = endOfDigits(text, 20)
    if (end === 20) return undefined
    ms = digits(text.slice(20, Math.min(end, 23)).padEnd(3, '0'), 0, 3)
  }
  const offset = parseOffset(text, end)
  return offset === undefined ? undefined : daysSinceEpoch(date) * DAY_MS + (hours * 60 + minutes) * MINUTE_MS + seconds * 1000 + ms - offset
}

/** `Z` or `+08:00` from `at` to the end of the text -> milliseconds; undefined when it is no offset. */
function parseOffset(text: string, at: number): number | undefined {
  const sign = text[at]
  if (sign === 'Z' || sign === 'z') return text.length === at + 1 ? 0 : undefined
  const [hours, minutes] = [digits(text, at + 1, 2), digits(text, at + 4, 2)]
  const hasForm = (sign === '+' || sign === '-') && text[at + 3] === ':' && text.length === at + 6
  if (!hasForm || !(hours <= 23 && minutes <= 59)) return undefined
  return (hours * 60 + minutes) * (sign === '-' ? -MINUTE_MS : MINUTE_MS)
}

/** `count` digits from `at` as a number; NaN when one of them is no digit, or the text ends before. */
function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit <= 9)) return NaN
    value = value * 10 + digit
  }
  return value
}

function endOfDigits(text: string, from: number): number {
  let end = from
  while (!Number.isNaN(digits(text, end, 1))) end++
  return end
}

/** `1990-03-07` -> 19900307; undefined when no calendar has that day. */
export function parseCivilDate(text: string): CivilDate | undefined {
  const hasForm = text.length === 10 && text[4] === '-' && text[7] === '-'
  return hasForm ? civilDate(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2)) : undefined
}

/** Year, month 1-12, day -> yyyymmdd; undefined when the Gregorian calendar has no such day, or one is NaN. */
export function civilDate(year: number, month: number, day: number): CivilDate | undefined {
  if (!(year >= 0 && month >= 1 && month <= 12 && day >= 1)) return undefined
  const nextMonth = month === 12 ? 365 : DAYS_BEFORE_MONTH[month] ?? 0
  const length = nextMonth - (DAYS_BEFORE_MONTH[month - 1] ?? 0) + (month === 2 && isLeap(year) ? 1 : 0)
  return day <= length ? year * 10_000 + month * 100 + day : undefined
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** Counts from a year that begins in March, so that the leap day comes last (H. Hinnant, days_from_civil). */
function daysSinceEpoch(date: CivilDate): number {
  const [month, day] = [Math.floor(date / 100) % 100, date % 100]
  const year = Math.floor(date / 10_000) - (month <= 2 ? 1 : 0)
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return year * 365 + Math.floor(year / 4) - Math.floor(year / 100) + Math.floor(year / 400) + dayOfYear - DAYS_TO_EPOCH
}

/** One spelling per address and network: `network` is the /24 of an IPv4 address, the /48 of an IPv6 one. */
export interface IpAddress { address: string; network: string }

/** No leading zeros: some systems read them as octal. */
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const IPV6_GROUP = /^[0-9a-f]{1,4}$/i

/** IPv4 or IPv6 -> its one spelling; an IPv4-mapped IPv6 address is the IPv4 address. Undefined when it is neither. */
export function parseIp(text: string): IpAddress | undefined {
  if (IPV4.test(text)) return { address: text, network: text.slice(0, text.lastIndexOf('.')) }
  const groups = parseIpv6(text)
  if (!groups) return undefined
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (isMapped) return parseIp(groups.slice(6).flatMap((group) => [group >> 8, group & 0xff]).join('.'))
  const hex = groups.map((group) => group.toString(16))
  return { address: hex.join(':'), network: hex.slice(0, 3).join(':') }
}

/** Eight groups of 16 bits, from any RFC 4291 spelling but one with a zone (which means nothing elsewhere). */
function parseIpv6(text: string): number[] | undefined {
  if (text.length > 45) return undefined
  const tail = /[^:]*\.[^:]*$/.exec(text)?.[0]
  if (tail !== undefined) {
    if (!IPV4.test(tail)) return undefined
    const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number)
    return parseIpv6(`${text.slice(0, -tail.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`)
  }
  const halves = text.split('::').map((half) => half === '' ? [] : half.split(':'))
  const [head = [], rest = []] = halves
  const gap = 8 - head.length - rest.length
  if (halves.length > 2 || (halves.length === 2 ? gap < 1 : gap !== 0)) return undefined
  const groups = [...head, ...new Array<string>(gap).fill('0'), ...rest]
  return groups.every((group) => IPV6_GROUP.test(group)) ? groups.map((group) => parseInt(group, 16)) : undefined
}
