import { describe, expect, it } from 'vitest'
import { count, read, type Read } from './small-city.js'

/** Forty days of 500 bookings a day: as long as the published counts (348,210 bookings of one hospital). */
const DAYS = 40, PER_DAY = 500
const all: Read[] = [...read({ days: DAYS, seed: 11, bookingsPerDay: PER_DAY, hospitals: 20 })]
const requests = all.filter(({ label }) => label !== undefined)
const requestOf = new Map(requests.map((request) => [request.told.order_id, request]))
const legit = requests.filter(({ label }) => label?.label === 'legit'), scalpers = requests.filter(({ label }) => label?.label === 'scalper')
const share = (part: number, whole: number): number => part / whole
const afterRelease = ({ at, told }: Read): number => at - Date.parse(told.slot?.released_at ?? '')
/** Life after the request, of patients' or gangs' orders. */
const ends = (label: 'legit' | 'scalper'): Map<string, number> =>
  count(all.filter(({ told }) => told.order_id !== undefined && requestOf.get(told.order_id)?.label?.label === label).map(({ told }) => `${told.type}${told.cancel ? ` ${told.cancel.by}` : ''}`))

describe('a city has the numbers of the domain', () => {
  it('as many bookings as asked for, within a twentieth', () => {
    expect(requests.length / (DAYS * PER_DAY)).toBeGreaterThan(0.95)
    expect(requests.length / (DAYS * PER_DAY)).toBeLessThan(1.05)
  })

  it('48 % of the bookings in the release hour and 33 % in its first five minutes', () => {
    const within = (ms: number): number => share(requests.filter((request) => afterRelease(request) >= 0 && afterRelease(request) < ms).length, requests.length)
    expect(within(3_600_000)).toBeCloseTo(0.48, 1)
    expect(within(300_000)).toBeCloseTo(0.33, 1)
  })

  it('bookings per patient: 68.6, 19.5, 6.6, 2.9, 1.2 % have one to five, 1.3 % more', () => {
    const confirmed = all.filter(({ told }) => told.type === 'booking.confirmed').flatMap(({ told }) => requestOf.get(told.order_id) ?? []).filter(({ label }) => label?.label === 'legit')
    const perPatient = count(confirmed.map(({ told }) => `${told.patient?.id_number ?? ''} ${told.patient?.name ?? ''}`))
    const times = count([...perPatient.values()].map((n) => Math.min(n, 6)))
    const of = (n: number): number => 100 * share(times.get(n) ?? 0, perPatient.size)
    for (const [n, percent, tolerance] of [[1, 68.6, 5], [2, 19.5, 4], [3, 6.6, 2.5], [4, 2.9, 1.5], [5, 1.2, 0.8], [6, 1.3, 0.8]] as const) {
      expect(Math.abs(of(n) - percent), `${n} bookings: ${of(n).toFixed(1)} %`).toBeLessThan(tolerance)
    }
    expect(Math.max(...perPatient.values())).toBeGreaterThan(10)
  })

  it('a quarter returned by patients and 2.7 % at the window; 3-16 % of those who kept their visit do not come', () => {
    const all = ends('legit'), of = (name: string): number => all.get(name) ?? 0
    const confirmed = of('booking.confirmed')
    expect(share(of('booking.cancelled patient'), confirmed)).toBeGreaterThan(0.21)
    expect(share(of('booking.cancelled patient'), confirmed)).toBeLessThan(0.31)
    expect(share(of('booking.cancelled window'), confirmed)).toBeGreaterThan(0.017)
    expect(share(of('booking.cancelled window'), confirmed)).toBeLessThan(0.037)
    const missed = share(of('booking.no_show'), of('booking.no_show') + of('booking.attended'))
    expect(missed).toBeGreaterThan(0.03)
    expect(missed).toBeLessThan(0.16)
    expect(share(of('booking.cancelled hospital'), confirmed)).toBeGreaterThan(0.005)
    expect(share(of('booking.cancelled hospital'), confirmed)).toBeLessThan(0.1)
  })

  it('1.6-3.2 % scalped, on the hottest doctors, and more of the release minute', () => {
    const scalped = share(scalpers.length, requests.length)
    expect(scalped).toBeGreaterThan(0.014)
    expect(scalped).toBeLessThan(0.035)
    const doctors = [...count(requests.map(({ told }) => told.slot?.doctor_id)).entries()].sort((a, b) => b[1] - a[1])
    const hottest = new Set(doctors.slice(0, Math.ceil(doctors.length * 0.05)).map(([id]) => id))
    expect(share(scalpers.filter(({ told }) => hottest.has(told.slot?.doctor_id)).length, scalpers.length)).toBeGreaterThan(0.7)
    const minute = requests.filter((request) => Math.abs(afterRelease(request)) < 60_000)
    expect(share(minute.filter(({ label }) => label?.label === 'scalper').length, minute.length)).toBeGreaterThan(1.5 * scalped)
  })

  it('30-70 % of what gangs book is given back, handed over or left unpaid', () => {
    const all = ends('scalper'), of = (name: string): number => all.get(name) ?? 0
    const given = share(of('booking.cancelled patient') + of('booking.cancelled window') + of('booking.expired'), of('booking.confirmed'))
    expect(given).toBeGreaterThan(0.3)
    expect(given).toBeLessThan(0.7)
  })

  it('departments are heavy-tailed: the tenth part has more than a third of the bookings', () => {
    const departments = [...count(requests.map(({ told }) => `${told.slot?.hospital_id ?? ''} ${told.slot?.department_id ?? ''}`)).values()].sort((a, b) => b - a)
    expect(share(departments.slice(0, Math.ceil(departments.length / 10)).reduce((sum, n) => sum + n, 0), requests.length)).toBeGreaterThan(0.33)
  })

  it('a release second with more than twenty times the average rate', () => {
    const perSecond = count(requests.map(({ at }) => Math.floor(at / 1_000)))
    expect(Math.max(...perSecond.values())).toBeGreaterThan(20 * PER_DAY / 86_400)
    expect(Math.max(...perSecond.values())).toBeGreaterThan(4)
  })

  it('addresses that more than fifty patients share, for about an eighth of the bookings', () => {
    const patients = new Map<string, Set<string>>()
    const withAddress = requests.flatMap(({ told }) => told.network && told.patient ? [{ ip: told.network.ip, patient: told.patient.id_number }] : [])
    for (const { ip, patient } of withAddress) patients.set(ip, (patients.get(ip) ?? new Set()).add(patient))
    const shared = share(withAddress.filter(({ ip }) => (patients.get(ip)?.size ?? 0) > 50).length, requests.length)
    expect(shared).toBeGreaterThan(0.07)
    expect(shared).toBeLessThan(0.19)
  })

  it('hundreds of patients in the networks and many in the blocks of numbers that gangs use as well', () => {
    const network = ({ told }: Read): string | undefined => told.network?.ip.split('.').slice(0, 3).join('.')
    const legitIn = count(legit.map(network))
    const used = [...new Set(scalpers.map(network))].filter((net) => net !== undefined).map((net) => legitIn.get(net) ?? 0).sort((a, b) => a - b)
    expect(used[Math.floor(used.length / 2)]).toBeGreaterThan(100)
    const blocks = new Set(legit.map(({ told }) => told.patient?.phone.slice(0, 7)))
    const shared = scalpers.filter(({ told }) => blocks.has(told.patient?.phone.slice(0, 7)))
    expect(share(shared.length, scalpers.length)).toBeGreaterThan(0.75)
  })

  it('a fifth of the accounts has two to four patients', () => {
    const perAccount = new Map<string, Set<string>>()
    const plain = legit.filter(({ label }) => label?.group === 'plain' || label?.group === 'family' || label?.group === 'release_crowd')
    for (const { told } of plain) if (told.account) perAccount.set(told.account.id, (perAccount.get(told.account.id) ?? new Set()).add(told.patient?.name ?? ''))
    // Not every member of a family falls ill within the forty days: what shows is the share of bookings for another.
    const others = plain.filter(({ told }) => told.patient?.relation !== undefined && told.patient.relation !== 'self')
    expect(share(others.length, plain.length)).toBeGreaterThan(0.15)
    expect(share(others.length, plain.length)).toBeLessThan(0.4)
    expect(Math.max(...[...perAccount.values()].map(({ size }) => size))).toBeLessThanOrEqual(4)
  })
})
