import { resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { EXIT, grouped, table, writeJson, type ExitCode, type Io } from './io.js'
import { readPath, readSpeed } from './replay.js'

export interface SimulateOptions {
  days: number
  seed: number
  bookingsPerDay: number
  hospitals: number
  /** Share of the booking requests that are gangs'; drawn from the seed when not given. */
  scalpers?: number
  /** The first day, YYYY-MM-DD, in China's time. */
  start: string
  out?: string
  labels?: string
  /** `http(s)://host:port` of a running Zhenhao, or `kafka`. */
  to?: string
  /** Holds the API key for `to`. */
  keyFile?: string
  /** `max`, or a multiple of the events' own pace: 1 is the wall clock's. */
  speed: 'max' | number
  json: boolean
}

/** What a city was made of. */
export interface SimulateSummary {
  events: number
  /** Requests, by whom. */
  legit: number
  scalper: number
  tactics: readonly (readonly [name: string, count: number])[]
  groups: readonly (readonly [name: string, count: number])[]
  gangs: number
  /** Of events that were sent: those the receiver had, and those it refused. */
  sent?: { accepted: number; duplicates: number; rejected: number }
  seconds: number
}

const FULL_SHARE = 100

export function addSimulate(program: Command, run: (options: SimulateOptions) => Promise<void>): void {
  program.command('simulate')
    .description('Make a labelled city: made-up patients, hospitals and gangs, as events with the truth about them')
    .option('--days <n>', 'whole days', readWhole(1, 3_650), 14)
    .option('--seed <n>', 'another seed is another city; the same one the same bytes', readWhole(0, 2 ** 32 - 1), 1)
    .option('--bookings-per-day <n>', 'booking requests a day', readWhole(50, 1_000_000), 3_000)
    .option('--hospitals <n>', 'hospitals of the city', readWhole(1, 2_000), 50)
    .option('--scalpers <share>', 'share of booking requests that are gangs\' (default: 0.016 to 0.032, by the seed)', readShare)
    .option('--start <date>', 'the first day, YYYY-MM-DD', readDate, '2026-03-02')
    .option('--out <file>', 'write the events there (NDJSON)', readPath)
    .option('--labels <file>', 'write a label per booking request there (NDJSON)', readPath)
    .option('--to <where>', 'send the events to http://HOST:PORT of a running Zhenhao, or to kafka (KAFKA_BROKERS)', readTarget)
    .option('--key-file <file>', 'holds the API key for --to http://…', readPath)
    .option('--speed <factor>', 'max, or a multiple of the events\' own pace', readSpeed, 'max' as const)
    .option('--json', 'print the summary as one line of JSON', false)
    .addHelpText('after', `
Nobody in it is real. Gangs play the tactics T1-T15 and learn; labels name tactic and gang, or the innocent group.

Examples:
  zhenhao simulate --days 14 --seed 7 --out events.ndjson --labels labels.ndjson
  zhenhao simulate --days 1 --to http://127.0.0.1:8080 --key-file key.txt --speed 60`)
    .action((options: SimulateOptions, command: Command) => {
      const fault = faultOf(options)
      if (fault !== undefined) command.error(`error: ${fault}`)
      return run(options)
    })
}

function faultOf({ out, labels, to, keyFile }: SimulateOptions): string | undefined {
  if (out === undefined && labels === undefined && to === undefined) return 'nothing would be written: give --out, --labels or --to'
  if (out !== undefined && labels !== undefined && resolve(out) === resolve(labels)) return '--out and --labels name the same file'
  if (to?.startsWith('http') === true && keyFile === undefined) return '--to http://… needs --key-file FILE with an API key of role booking_core'
  if (keyFile !== undefined && to?.startsWith('http') !== true) return '--key-file goes with --to http://… only'
  return undefined
}

function readWhole(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < low || value > high) throw new InvalidArgumentError(`It is a whole number from ${low} to ${high}.`)
    return value
  }
}

function readShare(text: string): number {
  const share = Number(text)
  if (text.trim() === '' || !(share >= 0 && share <= 0.5)) throw new InvalidArgumentError('It is a share from 0 to 0.5, such as 0.024.')
  return share
}

function readDate(text: string): string {
  const at = new Date(`${text}T00:00:00Z`)
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || Number.isNaN(at.getTime()) || !at.toISOString().startsWith(text)) throw new InvalidArgumentError('It is a date that exists, YYYY-MM-DD.')
  return text
}

function readTarget(text: string): string {
  if (text === 'kafka') return text
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw new InvalidArgumentError("It is 'kafka' or an address like http://127.0.0.1:8080.")
  if (url.username !== '' || url.password !== '') throw new InvalidArgumentError('A key belongs into --key-file.')
  return url.origin
}

export function writeSimulateSummary(io: Io, summary: SimulateSummary, { json }: Pick<SimulateOptions, 'json'>): ExitCode {
  const { events, legit, scalper, tactics, groups, gangs, sent, seconds } = summary
  const bookings = legit + scalper, share = bookings === 0 ? 0 : scalper / bookings
  const perSecond = seconds > 0 ? Math.round(events / seconds) : 0
  const code = sent !== undefined && sent.rejected > 0 ? EXIT.failed : EXIT.done
  if (json) {
    writeJson(io, {
      events, bookings, scalper_share: Number(share.toFixed(5)), gangs, tactics: Object.fromEntries(tactics), groups: Object.fromEntries(groups),
      ...(sent && { sent }), seconds: Number(seconds.toFixed(3)), events_per_second: perSecond,
    })
    return code
  }
  const rows: [string, number, string][] = [
    ['booking requests', bookings, ''],
    ['  of patients', legit, ''], ...groups.map(([name, count]): [string, number, string] => [`    ${name}`, count, '']),
    ['  of gangs', scalper, `${(FULL_SHARE * share).toFixed(2)} %, ${gangs} gangs`], ...tactics.map(([name, count]): [string, number, string] => [`    ${name}`, count, '']),
    ['other events', events - bookings, ''],
    ...(sent ? [['sent and accepted', sent.accepted, ''], ['  there before', sent.duplicates, ''], ['  refused', sent.rejected, '']] as [string, number, string][] : []),
  ]
  const width = Math.max(...rows.map(([, count]) => grouped(count).length))
  io.stdout.write(`Made ${grouped(events)} events in ${seconds.toFixed(1)} s (${grouped(perSecond)} events/s)\n`)
  io.stdout.write(table(rows.map(([name, count, note]) => [name, grouped(count).padStart(width), note])))
  return code
}
