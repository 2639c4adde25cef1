import type { Command } from 'commander'
import { EXIT, table, writeJson, type ExitCode, type Io } from './io.js'

/** `detail`: what was found; `advice`: what to do about it. No secrets in either. */
export interface Check { name: string; ok: boolean; detail: string; advice?: string }

export function addDoctor(program: Command, run: (options: { json: boolean }) => Promise<void>): void {
  program.command('doctor')
    .description('Ask every configured dependency and say what is wrong')
    .option('--json', 'print the checks as one line of JSON', false)
    .addHelpText('after', '\nThe exit code is 1 when anything is wrong.\n\nExample:\n  zhenhao doctor')
    .action((options: { json: boolean }) => run(options))
}

export function writeChecks(io: Io, checks: readonly Check[], { json }: { json: boolean }): ExitCode {
  const isWell = checks.every((check) => check.ok)
  if (json) writeJson(io, { ok: isWell, checks })
  else {
    io.stdout.write(table(checks.flatMap(({ name, ok, detail, advice }) => [
      [ok ? 'ok' : 'WRONG', name, detail],
      ...(ok || advice === undefined ? [] : [['', '', `-> ${advice}`]]),
    ])))
  }
  return isWell ? EXIT.done : EXIT.failed
}
