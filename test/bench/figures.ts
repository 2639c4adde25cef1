/** What a row of the bench hands back, and how it is shown. */

export interface Figure {
  what: string
  value: number
  unit: string
  /** What it was compared to in the same run. */
  against?: { what: string; value: number; unit: string }
  /** QUALITY's bars. `atMost`: lower is better. */
  bar?: number
  beyond?: number
  atMost?: true
}

export interface RowResult {
  row: string
  title: string
  figures: Figure[]
  /** Decisions by outcome, so that nobody takes an all-allow mix for a release minute. */
  outcomes?: Record<string, number>
  notes?: string[]
}

export interface BenchOptions {
  /** Length of one round, where a row has rounds. */
  seconds: number
  /** A tenth of the events: shows that it runs, not how fast. */
  quick: boolean
  /** Directory for a .cpuprofile of the product, absent: none. */
  profileDir?: string
  /** Requests that bare Fastify answered at the beginning of this run, per second by the clock and per second of its CPU. */
  fastify?: { perSecond: number; perCpuSecond: number }
}

/** What a figure was compared to, as a part of it. */
export const against = (what: string, value: number, unit: string): Pick<Figure, 'against'> => ({ against: { what, value, unit } })

/** QUALITY: an absolute bar holds where bare Fastify reaches this, and scales with it otherwise. */
const REFERENCE_PER_S = 20_000
export const scaledBar = (bar: number, fastifyPerSecond = REFERENCE_PER_S): number => bar * Math.min(1, fastifyPerSecond / REFERENCE_PER_S)

export type Met = 'beyond' | 'met' | 'missed' | ''

export function judge({ value, bar, beyond, atMost }: Figure): Met {
  const reaches = (limit: number): boolean => atMost ? value <= limit : value >= limit
  if (bar === undefined) return ''
  if (beyond !== undefined && reaches(beyond)) return 'beyond'
  return reaches(bar) ? 'met' : 'missed'
}

const shown = (value: number): string => Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(Math.abs(value) < 10 ? 2 : 1)

export function renderRow({ row, title, figures, outcomes, notes = [] }: RowResult): string {
  const cells = figures.map((f) => [
    f.what, `${shown(f.value)} ${f.unit}`,
    f.against ? `${f.against.what}: ${shown(f.against.value)} ${f.against.unit}` : '',
    f.bar === undefined ? '' : `${f.atMost ? '<=' : '>='} ${shown(f.bar)}${f.beyond === undefined ? '' : ` / ${shown(f.beyond)}`}`, judge(f),
  ])
  const header = ['', 'measured', 'against', 'bar / beyond', '']
  const widths = header.map((name, i) => Math.max(name.length, ...cells.map((line) => line[i]?.length ?? 0)))
  const lines = [header, ...cells].map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}`)
  const mix = outcomes ? [`  outcomes: ${Object.entries(outcomes).map(([name, n]) => `${name} ${n.toLocaleString('en-US')}`).join(', ')}`] : []
  return [`${row}: ${title}`, ...lines, ...mix, ...notes.map((note) => `  ${note}`), ''].join('\n')
}

/** The value below which `share` of the samples lie. */
export function quantile(samples: Float64Array, share: number): number {
  const sorted = samples.toSorted()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

export const median = (values: readonly number[]): number => quantile(Float64Array.from(values), 0.5)

export function sumTallies(tallies: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {}
  for (const tally of tallies) for (const [name, n] of Object.entries(tally)) total[name] = (total[name] ?? 0) + n
  return total
}
