import { InvalidArgumentError, type Command } from 'commander'
import { EXIT, table, type ExitCode, type Io } from './io.js'

export const SERVER_ROLES = ['api', 'stream', 'console'] as const
export type ServerRole = (typeof SERVER_ROLES)[number]

export interface ServeOptions { roles: readonly ServerRole[]; /** Say what would be started, and start nothing. */ checkConfig: boolean }

export function addServe(program: Command, run: (options: ServeOptions) => Promise<void>): void {
  program.command('serve')
    .description('Decide bookings: the HTTP API, the stream worker and the console in one process')
    .option('--roles <list>', `what this process does, of ${SERVER_ROLES.join(',')}`, readRoles, [...SERVER_ROLES])
    .option('--check-config', 'check the configuration, print it without secrets, and start nothing', false)
    .addHelpText('after', `
Nothing configured: everything is embedded, in ZHENHAO_DATA_DIR (./data), and demo keys are printed once.

Examples:
  zhenhao serve
  zhenhao serve --roles stream
  KAFKA_BROKERS=localhost:9092 ZHENHAO_TOKEN_KEY=$(openssl rand -hex 32) zhenhao serve --check-config`)
    .action((options: ServeOptions) => run({ roles: options.roles, checkConfig: options.checkConfig }))
}

function readRoles(text: string): ServerRole[] {
  const names = new Set(text.split(',').map((name) => name.trim()))
  const unknown = [...names].filter((name) => !SERVER_ROLES.some((role) => role === name))
  if (unknown.length > 0) throw new InvalidArgumentError(`There is no role '${unknown.join(', ')}'; there are ${SERVER_ROLES.join(', ')}.`)
  return SERVER_ROLES.filter((role) => names.has(role))
}

/** What `serve --check-config` found in order. `settings` must be free of secrets. */
export function writeSettings(io: Io, settings: readonly { name: string; value: string }[]): ExitCode {
  io.stdout.write(`${table(settings.map(({ name, value }) => [name, value]))}The configuration is in order.\n`)
  return EXIT.done
}

/** All problems of the configuration at once, by variable. */
export function writeConfigProblems(io: Io, problems: readonly { name: string; message: string }[]): ExitCode {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  io.stderr.write(`The configuration has ${count}:\n${table(problems.map(({ name, message }) => [`  ${name}`, message]))}`)
  return EXIT.failed
}
