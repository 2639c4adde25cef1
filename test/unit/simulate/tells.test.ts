import { describe, expect, it } from 'vitest'
import { read } from './small-city.js'
import { areaOf, areas, rowOf, type Row } from './single-fields.js'

const rowsOf = (seed: number): Row[] => [...read({ days: 10, seed, bookingsPerDay: 1_000, hospitals: 25 })]
  .flatMap(({ told, text, label }) => label ? [rowOf(told, text, label.label === 'scalper')] : [])

/** The bound on any single field. The two that come nearest are how scalping is done: at the release, for somebody bound lately. */
const MOST = 0.85
const MOST_OF_OTHERS = 0.72
const HARDEST = ['since release', 'binding age']
/** Ids, milliseconds, serials, formats: how a thing is written must not tell who wrote it. Chance leaves some hundredths. */
const MEANINGLESS = [
  'millisecond', 'event id', 'order id', 'slot id', 'session id', 'account id', 'device id', 'payer id', 'registered, millisecond', 'bound, millisecond', 'opened, millisecond', 'phone, last four',
]
const KINDS = ['surname', 'sex agrees', 'id_type', 'has session.page_views']

/** What is written of a person, an account, a device or a payer counts once: in their first request. */
const OF: Readonly<Record<string, readonly string[]>> = {
  'phone, last four': ['phone, last four', 'bound, millisecond'], 'account id': ['account id', 'registered, millisecond'], 'device id': ['device id'], 'payer id': ['payer id'],
}

function first(rows: readonly Row[]): Row[] {
  const seen = new Set<string>()
  return rows.map((row) => {
    const repeated = Object.entries(OF).flatMap(([name, written]) => {
      const key = `${name} ${row.numbers[name] ?? ''}`
      const isOld = seen.has(key)
      seen.add(key)
      return isOld ? written : []
    })
    return { ...row, numbers: { ...row.numbers, ...Object.fromEntries(repeated.map((name) => [name, undefined])) } }
  })
}

describe('no field alone tells a gang from a patient', () => {
  const [one, other] = [rowsOf(31), rowsOf(32)]
  const found = areas(one, other)

  it(`has no field over ${MOST}, and but the release and the binding none over ${MOST_OF_OTHERS}`, () => {
    expect([...found].filter(([, area]) => Number.isNaN(area))).toEqual([])
    expect([...found].filter(([name, area]) => area > (HARDEST.includes(name) ? MOST : MOST_OF_OTHERS))).toEqual([])
  })

  it('has no meaning in how ids, times and numbers are made', () => {
    // Each person, account, device and payer once: gangs use theirs again and again, and a few numbers drawn often are no pattern.
    const once = new Map([...areas(first([...one, ...other]), other), ...[...found].filter(([name]) => KINDS.includes(name))])
    expect([...once].filter(([name, area]) => [...MEANINGLESS, ...KINDS].includes(name) && area > 0.57)).toEqual([])
    expect([...MEANINGLESS, ...KINDS].filter((name) => !once.has(name))).toEqual([])
  })

  it('would be noticed if one did', () => {
    expect(areaOf([[1, false], [2, false], [3, true], [4, true]])).toBe(1)
    expect(areaOf([[4, false], [2, true], [3, true], [1, false]])).toBe(0.5)
    expect(areaOf([[1, false], [1, true]])).toBe(0.5)
    const rows = [true, false, true, false].map((isScalper): Row => ({ isScalper, numbers: { tell: isScalper ? 1 : 2 }, kinds: { tell: String(isScalper) } }))
    expect([...areas(rows, rows)]).toEqual([['tell', 1]])
  })
})
