import { parseArgs } from 'node:util'
import { join } from 'node:path'
import { startKafka } from '../support/kafka.js'
import { runChaos, type ChaosReport } from './chaos.js'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '50000' }, kills: { type: 'string', default: '3' }, rate: { type: 'string', default: '450' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) }, json: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
})
const say = (line: string): void => { process.stderr.write(`chaos: ${line}\n`) }

say(`${values.events} events, seed ${values.seed}`)
const broker = await startKafka()
if (!broker) process.exit(1)
try {
  const report = await runChaos({
    brokers: broker.brokers, events: Number(values.events), kills: Number(values.kills), killAfterLoad: true, perSecond: Number(values.rate), seed: Number(values.seed),
    ...(values.verbose ? { logLevel: 'info' } : {}), main: join(import.meta.dirname, '../../src/main.js'), say,
  })
  if (values.verbose) process.stderr.write(report.output)
  process.stdout.write(values.json ? `${JSON.stringify(lineOf(report))}\n` : table(report))
  process.exitCode = report.violations.length > 0 ? 1 : 0
} finally {
  await broker.stop()
}

/** The figures, without what the processes printed. */
function lineOf(report: ChaosReport): object {
  const figures = Object.entries(report).filter(([name]) => name !== 'output' && name !== 'violations')
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
