import type { Command } from 'commander'
import type { FileProblem } from '../scoring/counters.js'
import { EXIT, writeJson, type ExitCode, type Io } from './io.js'

export interface RulesCheckOptions { /** Absent: the configured rules. */ dir?: string; json: boolean }

export interface RulesCheck { rules: number; policies: number; problems: readonly FileProblem[] }

export function addRules(program: Command, run: (options: RulesCheckOptions) => Promise<void>): void {
  const rules = program.command('rules').description('Look after rule packs, counters and policies')
  rules.command('check')
    .description('Check types, references and examples; all problems at once, each with file and line')
    .argument('[dir]', 'the rules directory; without it the configured one (ZHENHAO_RULES_DIR)')
    .option('--json', 'print the result as one line of JSON', false)
    .addHelpText('after', '\nExamples:\n  zhenhao rules check\n  zhenhao rules check ./rules-next')
    .action((dir: string | undefined, { json }: { json: boolean }) => run({ ...(dir !== undefined && { dir }), json }))
}

/** Problems go to stderr as `file:line: message`, which editors can follow. */
export function writeRulesCheck(io: Io, check: RulesCheck, { json }: { json: boolean }): ExitCode {
  const { rules, policies, problems } = check
  if (json) writeJson(io, { ok: problems.length === 0, rules, policies, problems })
  else if (problems.length === 0) io.stdout.write(`${rules} rules and ${policies} policies are in order.\n`)
  else {
    for (const { file, line, message } of problems) io.stderr.write(`${file}:${line}: ${message}\n`)
    io.stderr.write(`${problems.length === 1 ? '1 problem' : `${problems.length} problems`}; nothing of this would be loaded.\n`)
  }
  return problems.length === 0 ? EXIT.done : EXIT.failed
}
