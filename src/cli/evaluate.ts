import { resolve } from 'node:path'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { OUTCOMES } from '../domain/decision.js'
import { STAGES, type BarName, type Stage, type Verdict } from '../learn/evaluate/bars.js'
import { LABEL_KINDS } from '../learn/evaluate/input.js'
import type { Interval, Rate } from '../learn/evaluate/interval.js'
import type { Named, Report } from '../learn/evaluate/report.js'
import { EXIT, grouped, table, writeJson, type ExitCode, type Io } from './io.js'

/** `decisions`, `labels`, `events`: files of NDJSON, plain or .gz. */
export interface EvaluateOptions {
  decisions: string
  labels: string
  events?: string
  page?: string
  rejects?: string
  bars: Stage
  /** Fail when a bar is missed, or there is nothing to judge it by. */
  require: boolean
  json: boolean
}

export function addEvaluate(program: Command, run: (options: EvaluateOptions) => Promise<void>): void {
  program.command('evaluate')
    .description('Measure decisions against labels: precision, recall, innocent groups, tactics')
    .requiredOption('--decisions <file>', 'decisions, one per line (.gz too)', readFileName)
    .requiredOption('--labels <file>', 'labels, one per line (.gz too)', readFileName)
    .option('--events <file>', 'the events, to follow slots and accounts (.gz too)', readFileName)
    .option('--page <file>', 'write the report there as one HTML page', readFileName)
    .option('--rejects <file>', 'write lines that cannot be read there (may hold identities: keep it safe)', readFileName)
    .addOption(new Option('--bars <stage>', 'the bars to hold it to: rules alone, or with a trained model').choices(STAGES).default('rules'))
    .option('--require', 'fail (exit code 1) when a bar is missed or cannot be judged', false)
    .option('--json', 'print the report as one line of JSON', false)
    .addHelpText('after', `
What each figure counts: docs/evaluate.md

Examples:
  zhenhao evaluate --decisions decisions.ndjson --labels labels.ndjson
  zhenhao evaluate --decisions d.ndjson.gz --labels l.ndjson.gz --events e.ndjson.gz --page report.html --require`)
    .action((options: EvaluateOptions, command: Command) => {
      const { decisions, labels, events, page, rejects } = options
      const clash = clashOf([decisions, labels, events], [page, rejects])
      if (clash !== undefined) command.error(`error: ${clash}`)
      return run(options)
    })
}

function readFileName(text: string): string {
  if (text === '' || text === '-') throw new InvalidArgumentError('It is the name of a file.')
  return text
}

/** The same file named twice: nothing may be read as two things, or be overwritten. */
function clashOf(inputs: readonly (string | undefined)[], outputs: readonly (string | undefined)[]): string | undefined {
  const files = [...inputs, ...outputs].flatMap((file) => file === undefined ? [] : [file])
  const twice = files.find((file, i) => files.findIndex((other) => resolve(other) === resolve(file)) < i)
  return twice === undefined ? undefined : `${twice} is named twice`
}

/** What is wrong with the input as a whole: the figures are printed, but the run has failed. */
function faultsIn({ bookings, input }: Report): string[] {
  const conflict = (what: string, { count, ids }: Named): string[] => count === 0 ? [] : [`${grouped(count)} ${what}, not counted: ${namesOf({ count, ids })}`]
  return [
    ...(bookings.total === 0 ? ['no decision has a label: is this the labels file of these decisions?'] : []),
    ...conflict('event_ids have two different decisions', input.conflicting_decisions),
    ...conflict('event_ids have two different labels', input.conflicting_labels),
    ...conflict('orders have requests with different labels', input.contradictory_orders),
  ]
}

const namesOf = ({ count, ids }: Named): string => `${ids.join(', ')}${count > ids.length ? ', ...' : ''}`

/** Prints the report. Fails when the input contradicts itself or nothing could be joined, and under `require` by the bars. */
export function writeEvaluation(io: Io, report: Report, badLines: Readonly<Record<string, number>>, options: Pick<EvaluateOptions, 'json' | 'require'>): ExitCode {
  const faults = faultsIn(report)
  if (options.json) writeJson(io, { ...report, input: { ...report.input, bad_lines: badLines } })
  else if (report.bookings.total > 0) io.stdout.write(wordsOfReport(report, badLines))
  for (const fault of faults) io.stderr.write(`zhenhao: ${fault}\n`)
  const missed = options.require ? report.verdicts.filter(({ met }) => met !== true) : []
  if (missed.length > 0) io.stderr.write(`zhenhao: required, but not met: ${missed.map(({ name }) => BAR_WORDS[name]).join('; ')}\n`)
  return faults.length + missed.length > 0 ? EXIT.failed : EXIT.done
}

const percent = (share: number | null): string => share === null ? '-' : `${(100 * share).toFixed(2)} %`
const range = (interval: { low: number | null; high: number | null } | null): string =>
  interval?.low == null || interval.high === null ? '' : `${(100 * interval.low).toFixed(2)} - ${(100 * interval.high).toFixed(2)} %`
const counted = ({ count, of }: Rate): string => `${grouped(count)} of ${grouped(of)}`
const rateCells = (rate: Rate): string[] => [percent(rate.value), counted(rate), range(rate)]

/** A heading, then rows under named columns. */
const block = (title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  rows.length === 0 ? '' : `\n${title}\n${table([['', ...columns], ...rows].map(([name = '', ...cells]) => [`  ${name}`, ...cells]))}`

const BAR_WORDS: Readonly<Record<BarName, string>> = {
  recall: 'scalper bookings intercepted', tactic_after_10: 'each tactic, after its gang\'s first 10 requests', precision: 'precision of an interception',
  innocents: 'patients\' bookings intercepted', worst_group: 'patients\' bookings intercepted, worst group',
}
const verdictCells = ({ name, side, limit, value, met, of }: Verdict): string[] =>
  [BAR_WORDS[name], percent(value), `at ${side} ${percent(limit)}`, met === null ? 'NOT JUDGED' : met ? 'met' : 'MISSED', of ?? '']

function wordsOfReport(report: Report, badLines: Readonly<Record<string, number>>): string {
  const { bookings, interception, innocents, gangs, slots, policy } = report
  const { by_cluster: cluster } = interception
  const wide = (interval: Interval | null): string => range(interval)
  const orNever = (value: number | null): string => value === null ? 'never' : String(Number(value.toFixed(1)))
  return [
    `Evaluated ${grouped(bookings.total)} bookings (${grouped(bookings.requests)} requests): `,
    `${grouped(bookings.scalper)} of scalpers, ${grouped(bookings.legit)} of patients\n`,
    block(`Bars (${report.stage === 'rules' ? 'rules alone' : 'with a trained model'})`, ['measured', 'bar', '', 'worst'], report.verdicts.map(verdictCells)),
    block('Interceptions (throttle, hold or deny; not by policy)', ['share', 'bookings', '95 % interval', 'the same by gang'], [
      ['precision', ...rateCells(interception.precision), wide(cluster.precision)], ['recall', ...rateCells(interception.recall), wide(cluster.recall)],
      ['F1', percent(interception.f1), '', '', wide(cluster.f1)], ['bookings held', ...rateCells(report.held)],
    ]),
    block('Patients, by group', ['intercepted', 'bookings', '95 % interval', 'delayed', 'challenged', ''], [
      ['all', ...rateCells(innocents.overall), grouped(innocents.delayed), percent(innocents.challenged.value)],
      ...innocents.groups.map((row) => [row.group, ...rateCells(row.intercepted), grouped(row.delayed), percent(row.challenged.value), row.too_few ? 'too few to tell' : '']),
    ]),
    block('Scalpers, by tactic', ['caught', 'bookings', 'after 10', 'bookings', '95 % interval', 'gangs', ''], report.tactics.map((row) => [
      row.tactic, percent(row.overall.value), counted(row.overall), ...rateCells(row.after_first_10), grouped(row.gangs), row.too_few ? 'too few to tell' : '',
    ])),
    block(`Until a gang is first stopped (${grouped(gangs.total)} gangs, ${grouped(gangs.never)} never)`, ['median', '90 %'], gangs.total === 0 ? [] : [
      ['requests', orNever(gangs.requests.median), orNever(gangs.requests.p90)], ['minutes', orNever(gangs.minutes.median), orNever(gangs.minutes.p90)],
    ]),
    slots === null ? '' : block('Slots of intercepted scalper bookings', [''], [
      ['all', grouped(slots.kept)], ['confirmed all the same', grouped(slots.confirmed_all_the_same)], ['given back', grouped(slots.given_back)],
      ['then taken by a patient', grouped(slots.taken_by_patients)],
    ]),
    block('Outcomes', OUTCOMES, LABEL_KINDS.map((kind) => [kind, ...OUTCOMES.map((outcome) => grouped(report.matrix[kind][outcome]))])),
    block('Outcomes by basis', ['scalper', 'legit'], report.by_basis.map((row) => [`${row.basis} ${row.outcome}`, grouped(row.scalper), grouped(row.legit)])),
    block('Stopped by a published limit (no interception above)', ['scalper', 'legit'], policy.codes.map((row) => [row.code, grouped(row.scalper), grouped(row.legit)])),
    block('Reason codes', ['scalper', 'legit', 'precision', '95 % interval'], report.reasons.map((row) =>
      [row.code, grouped(row.scalper), grouped(row.legit), percent(row.precision.value), range(row.precision)])),
    block('Input', ['lines', ''], inputRows(report.input, badLines)),
  ].join('')
}

function inputRows(input: Report['input'], badLines: Readonly<Record<string, number>>): string[][] {
  const named = (name: string, found: Named): string[][] => found.count === 0 ? [] : [[name, grouped(found.count), namesOf(found)]]
  const some = (name: string, count: number): string[][] => count === 0 ? [] : [[name, grouped(count)]]
  return [
    ['decisions', grouped(input.decisions)], ['labels', grouped(input.labels)], ...some('events', input.events),
    ...some('repeated decisions', input.duplicate_decisions), ...some('repeated labels', input.duplicate_labels),
    ...named('labels without decision', input.labels_without_decision), ...named('decisions without label', input.decisions_without_label),
    ...some('labelled by their order', input.decisions_labelled_by_order),
    ...Object.entries(badLines).flatMap(([name, count]) => some(`unreadable ${name}`, count)),
  ]
}
