import { Command, CommanderError } from 'commander'
import { addDoctor } from './doctor.js'
import { addEvaluate, type EvaluateOptions } from './evaluate.js'
import { EXIT, freshLine, wordsOf, type ExitCode, type Io } from './io.js'
import { addKeys, type KeysActions } from './keys.js'
import { addRebuild } from './rebuild.js'
import { addReplay, type ReplayOptions } from './replay.js'
import { addRules, type RulesCheckOptions } from './rules.js'
import { addServe, type ServeOptions } from './serve.js'
import { addSimulate, type SimulateOptions } from './simulate.js'
import { VERSION } from './version.js'

/** What main does for each command, its arguments checked. A rejection is a fault: its message is printed, exit code 1. */
export interface Actions extends KeysActions {
  serve(options: ServeOptions): Promise<ExitCode>
  replay(options: ReplayOptions): Promise<ExitCode>
  simulate(options: SimulateOptions): Promise<ExitCode>
  evaluate(options: EvaluateOptions): Promise<ExitCode>
  rulesCheck(options: RulesCheckOptions): Promise<ExitCode>
  rebuild(): Promise<ExitCode>
  doctor(options: { json: boolean }): Promise<ExitCode>
}

/**
 * The command `zhenhao`. Nothing here ends the process: wrong usage throws a CommanderError, and the exit code of the
 * command that ran goes to `finish`. `runCli` turns all of it into one exit code.
 */
export function createProgram(actions: Actions, io: Io, finish: (code: ExitCode) => void): Command {
  const program = new Command('zhenhao')
    .description('Zhenhao 真号: stops scalpers from taking hospital appointments, before a booking is confirmed')
    .version(VERSION, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .showHelpAfterError('(--help shows how it is used)')
    .addHelpText('after', `
Exit codes: 0 done, 1 failed, 2 wrong usage. Settings come from the environment, see: zhenhao serve --check-config

Examples:
  zhenhao serve
  zhenhao replay events.ndjson --decisions decisions.ndjson`)
  // Subcommands are made with program.command(), which hands them the settings above.
  addServe(program, async (options) => { finish(await actions.serve(options)) })
  addReplay(program, async (options) => { finish(await actions.replay(options)) })
  addSimulate(program, async (options) => { finish(await actions.simulate(options)) })
  addEvaluate(program, async (options) => { finish(await actions.evaluate(options)) })
  addRules(program, async (options) => { finish(await actions.rulesCheck(options)) })
  addKeys(program, {
    keysCreate: async (options) => { finish(await actions.keysCreate(options)) },
    keysList: async (options) => { finish(await actions.keysList(options)) },
    keysRevoke: async (options) => { finish(await actions.keysRevoke(options)) },
  })
  addRebuild(program, async () => { finish(await actions.rebuild()) })
  addDoctor(program, async (options) => { finish(await actions.doctor(options)) })
  return program
}

/** Runs one command; `args` are what follows the command's name. Never rejects. */
export async function runCli(actions: Actions, io: Io, args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = EXIT.done
  try {
    await createProgram(actions, io, (result) => { code = result }).parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    // Commander has printed its own words by now; --help and --version come this way too, with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    io.stderr.write(`${freshLine(io)}zhenhao: ${wordsOf(error)}\n`)
    return EXIT.failed
  }
}
