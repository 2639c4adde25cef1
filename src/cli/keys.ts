import { InvalidArgumentError, Option, type Command } from 'commander'
import { ROLES, type ApiKey, type Role } from '../domain/access.js'
import { isNetwork } from '../scoring/network.js'
import { EXIT, table, writeJson, type ExitCode, type Io } from './io.js'

export interface KeysCreateOptions { role: Role; hospital?: string; cidr?: string; json: boolean }

export interface KeysActions {
  keysCreate(options: KeysCreateOptions): Promise<ExitCode>
  keysList(options: { json: boolean }): Promise<ExitCode>
  keysRevoke(options: { keyId: string }): Promise<ExitCode>
}

/** What may be shown of a key; its hash stays in the store. */
export type ShownKey = Omit<ApiKey, 'secretHash'>

export function addKeys(program: Command, run: { [K in keyof KeysActions]: (options: Parameters<KeysActions[K]>[0]) => Promise<void> }): void {
  const keys = program.command('keys').description('API keys: create, list, revoke')
  keys.command('create')
    .description('Make a key; its secret is printed once and cannot be shown again')
    .addOption(new Option('--role <role>', 'what the key may do').choices(ROLES).makeOptionMandatory())
    .option('--hospital <id>', 'the hospital a key of role hospital is bound to')
    .option('--cidr <network>', 'the only addresses it may be used from, like 10.0.0.0/8', readNetwork)
    .option('--json', 'print the key as one line of JSON', false)
    .addHelpText('after', `
Examples:
  zhenhao keys create --role admin
  zhenhao keys create --role hospital --hospital h-007
  zhenhao keys create --role booking_core --cidr 10.0.0.0/8`)
    .action((options: KeysCreateOptions, command: Command) => {
      const isHospital = options.role === 'hospital'
      if (isHospital && !options.hospital) command.error('error: a key of role hospital needs --hospital ID')
      if (!isHospital && options.hospital !== undefined) command.error('error: --hospital goes with --role hospital only')
      return run.keysCreate(options)
    })
  keys.command('list')
    .description('All keys, without their secrets')
    .option('--json', 'print the keys as one line of JSON', false)
    .action((options: { json: boolean }) => run.keysList(options))
  keys.command('revoke')
    .description('Stop a key within five seconds, for good')
    .argument('<key-id>', 'as zhenhao keys list shows it')
    .action((keyId: string) => run.keysRevoke({ keyId }))
}

function readNetwork(text: string): string {
  if (!isNetwork(text)) throw new InvalidArgumentError('It is an address or a network like 10.0.0.0/8.')
  return text
}

/** The secret goes to stdout alone, so that it can be caught in a variable; the words around it go to stderr. */
export function writeCreatedKey(io: Io, key: ShownKey, secret: string, { json }: { json: boolean }): ExitCode {
  if (json) writeJson(io, { ...wireOf(key), secret })
  else {
    io.stderr.write(`Key ${key.keyId} for ${nameOf(key)}. Its secret is shown this once:\n`)
    io.stdout.write(`${secret}\n`)
  }
  return EXIT.done
}

export function writeKeys(io: Io, keys: readonly ShownKey[], { json }: { json: boolean }): ExitCode {
  if (json) writeJson(io, keys.map(wireOf))
  else if (keys.length === 0) io.stdout.write('There are no keys. Make one with: zhenhao keys create --role admin\n')
  else {
    const rows = keys.map((key) => [key.keyId, nameOf(key), key.cidr ?? 'any address', isoOf(key.createdAt), key.revokedAt === undefined ? 'active' : `revoked ${isoOf(key.revokedAt)}`])
    io.stdout.write(table([['KEY', 'ROLE', 'FROM', 'CREATED', 'STATE'], ...rows]))
  }
  return EXIT.done
}

/** `revoked`: whether there was such a key in use. */
export function writeRevoked(io: Io, keyId: string, revoked: boolean): ExitCode {
  if (revoked) io.stdout.write(`Key ${keyId} is revoked.\n`)
  else io.stderr.write(`There is no active key ${keyId}. See: zhenhao keys list\n`)
  return revoked ? EXIT.done : EXIT.failed
}

const isoOf = (atMs: number): string => new Date(atMs).toISOString()
const nameOf = ({ role, hospitalId }: ShownKey): string => hospitalId === undefined ? role : `${role}:${hospitalId}`

/** Built field by field: a stored key passed here by mistake does not show its hash. */
function wireOf(key: ShownKey): Record<string, unknown> {
  return {
    key_id: key.keyId, role: key.role, hospital_id: key.hospitalId, cidr: key.cidr,
    created_at: isoOf(key.createdAt), revoked_at: key.revokedAt === undefined ? undefined : isoOf(key.revokedAt),
  }
}
