import { parseArgs } from 'node:util'
import { join } from 'node:path'
import { startKafka } from '../support/kafka.js'
import { runChaos, type ChaosReport } from './chaos.js'
import { allFaults, type Fault } from './faults.js'
import { sharedTable } from './shared-table.js'
import { runSharedChaos } from './shared.js'

const { values } = parseArgs({
  options: {
    shared: { type: 'boolean', default: false }, alone: { type: 'boolean', default: false }, only: { type: 'string', multiple: true }, quick: { type: 'boolean', default: false },
    events: { type: 'string', default: '50000' }, kills: { type: 'string', default: '3' }, rate: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) }, json: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
})
const AWAY_MS = 600_000
const AWAY_QUICK_MS = 30_000
/** Events per second: what two cores bear beside all servers, or beside one. */
const RATE_SHARED = 250
const RATE_ALONE = 450
const PRODUCT = join(import.meta.dirname, '../../src/main.js')
const say = (line: string): void => { process.stderr.write(`chaos: ${line}\n`) }
const common = { events: Number(values.events), seed: Number(values.seed), main: PRODUCT, say, ...(values.verbose ? { logLevel: 'info' } : {}) }

// The exit ends the servers that were started.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })

say(`${values.events} events, seed ${values.seed}`)
const wantsShared = values.shared || values.only !== undefined
if (!wantsShared) await alone()
if (!values.alone) await shared()

async function alone(): Promise<void> {
  const broker = await startKafka()
  if (!broker) { process.exitCode = 1; return }
  try {
    finish(await runChaos({ ...common, brokers: broker.brokers, kills: Number(values.kills), killAfterLoad: true, perSecond: Number(values.rate ?? RATE_ALONE) }), table)
  } finally {
    await broker.stop()
  }
}

async function shared(): Promise<void> {
  const faults = chosen(allFaults(values.quick ? AWAY_QUICK_MS : AWAY_MS))
  if (values.quick) say(`ClickHouse is away for ${AWAY_QUICK_MS / 1_000} s instead of ${AWAY_MS / 60_000} minutes`)
  const report = await runSharedChaos({ ...common, faults, perSecond: Number(values.rate ?? RATE_SHARED) })
  if (!report) { process.exitCode = 1; return }
  finish(report, sharedTable)
}

/** By a part of their names; all unless some are named. */
function chosen(faults: readonly Fault[]): readonly Fault[] {
  const { only = [] } = values
  const found = only.flatMap((text) => { const same = faults.filter(({ name }) => name === text); return same.length > 0 ? same : faults.filter(({ name }) => name.includes(text)) })
  if (only.length > 0 && found.length === 0) {
    say(`no such fault; there are: ${faults.map(({ name }) => name).join('; ')}`)
    process.exit(2)
  }
  return only.length > 0 ? found : faults
}

type Report = { output: string; violations: readonly string[] }

function finish<R extends Report>(report: R, print: (report: R) => string): void {
  if (values.verbose) process.stderr.write(report.output)
  process.stdout.write(values.json ? `${JSON.stringify(lineOf(report))}\n` : print(report))
  if (report.violations.length > 0) process.exitCode = 1
}

/** The figures, without what the processes printed. */
function lineOf(report: Report): object {
  const figures = Object.entries(report).filter(([name]) => name !== 'output' && name !== 'violations' && name !== 'wrong')
  return { ...Object.fromEntries(figures), violations: report.violations.length, first_violations: report.violations.slice(0, 20) }
}

function table(report: ChaosReport): string {
  const { requests, otherEvents, repeats, decisionsAgain, endingsAgain, callsAgain, holds, ended, active, lost, doubled, kills, seconds, violations } = report
  const share = (count: number): string => `${Math.round((100 * count) / Math.max(1, holds))} %`
  const rows: [string, string | number, string?][] = [
    ['bookings asked', requests, 'each decided once, over both roads'],
    ['other events', otherEvents],
    ['repeats sent', repeats, 'and every event once more at the end'],
    ['calls made again', callsAgain, 'no answer, or 429, 503'],
    ['decisions read again', decisionsAgain, 'at least once, the same bytes'],
    ['holds', holds],
    ...Object.entries(ended).map(([name, count]): [string, number, string] => [`  ${name}`, count, share(count)]),
    ['  still active', active, share(active)],
    ['ends received again', endingsAgain, 'topic and callback, the same bytes'],
    ...kills.map(({ after, recoveryMs }): [string, string, string] => ['kill -9', `${(recoveryMs / 1_000).toFixed(1)} s`, `to /readyz, at ${after}`]),
    ['lost', lost], ['doubled', doubled], ['violations', violations.length], ['seconds in all', seconds],
  ]
  const lines = rows.map(([name, value, note = '']) => `${name.padEnd(24)}${String(value).padStart(9)}  ${note}`.trimEnd())
  return `${[...lines, ...violations.slice(0, 20).map((text) => `VIOLATION ${text.slice(0, 600)}`)].join('\n')}\n`
}
