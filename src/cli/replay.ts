import { resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { OUTCOMES, type Decision, type Outcome } from '../domain/decision.js'
import type { FieldError } from '../domain/event.js'
import { EXIT, freshLine, grouped, table, writeJson, type ExitCode, type Io } from './io.js'

export interface ReplayOptions {
  /** Paths; `-` is standard input. */
  files: readonly string[]
  decisions?: string
  rejects?: string
  /** `max`, or a multiple of the events' own pace: 1 is as it happened. */
  speed: 'max' | number
  /** Feed the configured stores and history instead of a memory of its own. */
  record: boolean
  /** A line per decision on stdout. */
  show: boolean
  json: boolean
}

export interface ReplaySummary {
  /** Lines read that were not blank. */
  lines: number
  /** Requests decided, by outcome; a repeat is a duplicate and is not counted here. */
  outcomes: Readonly<Record<Outcome, number>>
  /** Accepted events of all other types. */
  otherEvents: number
  duplicates: number
  /** The same event_id with another body (409). */
  conflicts: number
  /** Repeats too old to be told from new events (410). */
  tooOld: number
  /** Lines that are no valid event (400). */
  rejected: number
  seconds: number
}

interface Flags { decisions?: string; rejects?: string; speed: 'max' | number; record: boolean; show: boolean; json: boolean }

export function addReplay(program: Command, run: (options: ReplayOptions) => Promise<void>): void {
  program.command('replay')
    .description('Run recorded events (NDJSON) through the same engine, with counters of its own in memory')
    .argument('<file...>', 'files in the order of arrival; - is standard input')
    .option('--decisions <file>', 'write the decisions there, one per line', readPath)
    .option('--rejects <file>', 'write lines that are no valid event there, with their errors (holds identities: keep it safe)', readPath)
    .option('--speed <factor>', 'max, or a multiple of the events\' own pace', readSpeed, 'max' as const)
    .option('--record', 'back-fill the configured stores and history: no holds, messages, callbacks or cases come of it', false)
    .option('--show', 'print a line per decision: order, outcome, reason codes', false)
    .option('--json', 'print the summary as one line of JSON', false)
    .addHelpText('after', `
The same input always gives the same output. Bad lines are reported with their number and skipped; the run goes on.

Examples:
  zhenhao replay events.ndjson --decisions decisions.ndjson
  zhenhao replay docs/examples/hand-off-ring.ndjson --show
  zcat november/*.gz | zhenhao replay - --rejects rejects.ndjson
  zhenhao replay history.ndjson --record`)
    .action((files: string[], flags: Flags, command: Command) => {
      const fault = clashOf(files, flags)
      if (fault !== undefined) command.error(`error: ${fault}`)
      return run({ files, ...flags })
    })
}

export function readSpeed(text: string): 'max' | number {
  const factor = Number(text)
  if (text === 'max') return text
  if (text.trim() === '' || !Number.isFinite(factor) || factor <= 0) throw new InvalidArgumentError("It is 'max' or a number above 0.")
  return factor
}

export function readPath(text: string): string {
  if (text === '' || text === '-') throw new InvalidArgumentError('It is the name of a file.')
  return text
}

/** Output that would overwrite input or other output, and standard input read twice. */
function clashOf(files: readonly string[], { decisions, rejects }: Flags): string | undefined {
  if (files.filter((file) => file === '-').length > 1) return 'standard input (-) can be read only once'
  const outputs = [decisions, rejects].flatMap((file) => file === undefined ? [] : [resolve(file)])
  if (outputs.length === 2 && outputs[0] === outputs[1]) return '--decisions and --rejects name the same file'
  const overwritten = files.find((file) => file !== '-' && outputs.includes(resolve(file)))
  return overwritten === undefined ? undefined : `${overwritten} is read and would be overwritten`
}

/** One decision as a line for people. */
export function writeDecision(io: Io, { order_id, outcome, reasons }: Pick<Decision, 'order_id' | 'outcome' | 'reasons'>): void {
  io.stdout.write(`${order_id.padEnd(14)}  ${outcome.padEnd(9)}  ${reasons.map((r) => r.code).join(' ')}`.trimEnd() + '\n')
}

const MAX_BAD_LINES_SHOWN = 20

/** Reports bad lines on stderr, the first ones in full. Errors name fields, never a value of the person. */
export function createRejectReport(io: Io): (file: string, line: number, errors: readonly FieldError[]) => void {
  let count = 0
  return (file, line, errors) => {
    count++
    if (count > MAX_BAD_LINES_SHOWN + 1) return
    const words = errors.map(({ path, message }) => path === '' ? message : `${path}: ${message}`).join('; ')
    io.stderr.write(freshLine(io) + (count <= MAX_BAD_LINES_SHOWN ? `${file === '-' ? '<stdin>' : file}:${line}: ${words}\n`
      : 'More bad lines follow; the summary counts them and --rejects FILE keeps them all.\n'))
  }
}

/** Bad lines do not fail a run: they are counted, and the exit code is 0. */
export function writeReplaySummary(io: Io, summary: ReplaySummary, options: Pick<ReplayOptions, 'json' | 'rejects'>): ExitCode {
  const { outcomes, seconds, lines } = summary
  const perSecond = seconds > 0 ? Math.round(lines / seconds) : 0
  if (options.json) {
    writeJson(io, {
      lines, outcomes, other_events: summary.otherEvents, duplicates: summary.duplicates, conflicts: summary.conflicts,
      too_old: summary.tooOld, rejected: summary.rejected, seconds: Number(seconds.toFixed(3)), events_per_second: perSecond,
    })
    return EXIT.done
  }
  const decided = OUTCOMES.reduce((sum, outcome) => sum + outcomes[outcome], 0)
  const share = (count: number): string => decided === 0 ? '' : `${(100 * count / decided).toFixed(1)} %`
  const kept = summary.rejected === 0 ? '' : options.rejects === undefined ? '--rejects FILE would keep them' : `in ${options.rejects}`
  const rows: [string, number, string][] = [
    ['bookings decided', decided, ''],
    ...OUTCOMES.map((outcome): [string, number, string] => [`  ${outcome}`, outcomes[outcome], share(outcomes[outcome])]),
    ['other events', summary.otherEvents, ''],
    ['duplicates', summary.duplicates, 'same event again, counted once'],
    ['conflicts', summary.conflicts, 'same event_id, another body'],
    ['too old', summary.tooOld, 'could be repeats of forgotten events'],
    ['rejected', summary.rejected, kept],
  ]
  const width = Math.max(...rows.map(([, count]) => grouped(count).length))
  io.stdout.write(`Replayed ${grouped(lines)} events in ${seconds.toFixed(1)} s (${grouped(perSecond)} events/s)\n`)
  io.stdout.write(table(rows.map(([name, count, note]) => [name, grouped(count).padStart(width), count === 0 ? '' : note])))
  return EXIT.done
}
