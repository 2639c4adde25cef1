import type { Command } from 'commander'
import { EXIT, grouped, type ExitCode, type Io } from './io.js'

export function addRebuild(program: Command, run: () => Promise<void>): void {
  program.command('rebuild')
    .description('Build counters, holds and lists anew from history')
    .addHelpText('after', '\nNeeded by hand only after a change of the stores from outside: a lost state is noticed and rebuilt at start.')
    .action(() => run())
}

export function writeRebuilt(io: Io, { events, seconds }: { events: number; seconds: number }): ExitCode {
  io.stdout.write(`Rebuilt from ${grouped(events)} events in ${seconds.toFixed(1)} s.\n`)
  return EXIT.done
}
