import type { SharedReport } from './shared.js'

const HEAD = ['fault', 'events', 'decided', 'holds', 'lost', 'doubled', 'differ', 'two ends', 'degraded', 'first s', 'whole s']
const seconds = (value: number | undefined): string => value?.toFixed(1) ?? 'never'

/** A line per fault, then what holds for all of them, then what was violated. */
export function sharedTable(report: SharedReport): string {
  const rows = report.rows.map(({ fault, events, decided, holds, wrong, degraded, firstS, wholeS }) => [
    fault, events, decided, holds, wrong.lost, wrong.miscounted, wrong.differing, wrong.endedTwice, `${(100 * degraded).toFixed(1)} %`, seconds(firstS), seconds(wholeS),
  ].map(String))
  const widths = HEAD.map((_, column) => Math.max(...[HEAD, ...rows].map((row) => row[column]?.length ?? 0)))
  const lines = [HEAD, ...rows].map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '))
  const { requests, otherEvents, repeats, callsAgain, decisionsAgain, endingsAgain, holds, ended, active, probes, history, violations } = report
  const ends = Object.entries(ended).map(([name, count]) => `${count} ${name} (${Math.round((100 * count) / Math.max(1, holds))} %)`)
  return `${[
    ...lines, '',
    `${requests} bookings and ${otherEvents} other events, ${repeats} repeats among them and every event once more at the end; ${callsAgain} calls made again`,
    `${holds} holds: ${ends.join(', ')}, ${active} active; ${endingsAgain} ends and ${decisionsAgain} decisions received more than once, with the same bytes`,
    `${probes} probes counted again; ${history.rows} rows of ${history.events} events in history; ${report.seconds} s in all; ${violations.length} violations`,
    ...violations.slice(0, 20).map((text) => `VIOLATION ${text.slice(0, 800)}`),
  ].join('\n')}\n`
}
