import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isNetwork } from './scoring/network.js'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** CONTRACT section 5. A server that is absent is embedded. Holds secrets: show it with `describeConfig` only. */
export interface Config {
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
  readonly dataDir: string
  readonly rulesDir: string
  readonly kafkaBrokers?: readonly string[]
  readonly clickhouseUrl?: string
  readonly databaseUrl?: string
  /** One server, or the nodes of a Cluster. Counters, and with them the journal, are then shared between processes. */
  readonly redisUrls?: readonly string[]
  /** 32 bytes. Absent only when everything is embedded: then it is made once in the data directory. */
  readonly tokenKey?: Uint8Array
  readonly callback?: { readonly url: string; readonly secret: string }
  /** Where spans go, and the share of events traced whose caller does not say; absent: none are made. */
  readonly tracing?: { readonly endpoint: string; readonly ratio: number }
  readonly timeZone: string
  readonly logLevel: LogLevel
  /** How far ahead of the wall clock an event may be. */
  readonly maxAheadMs: number
  /** For how long the same event_id gets the same decision. */
  readonly repeatDays: number
  /** Addresses, networks, or the words loopback, linklocal, uniquelocal; empty = nobody's X-Forwarded-For counts. */
  readonly trustProxy: readonly string[]
  /** Nothing configured and bound to loopback. */
  readonly demoKeys: boolean
}

export interface ConfigProblem { readonly name: string; readonly message: string }
export type ConfigResult = { readonly ok: true; readonly config: Config } | { readonly ok: false; readonly problems: readonly ConfigProblem[] }
export type Environment = Readonly<Record<string, string | undefined>>

const KNOWN = [
  'ZHENHAO_DATA_DIR', 'ZHENHAO_RULES_DIR', 'ZHENHAO_TOKEN_KEY', 'ZHENHAO_TOKEN_KEY_OLD', 'ZHENHAO_CALLBACK_URL', 'ZHENHAO_CALLBACK_SECRET',
  'ZHENHAO_TIME_ZONE', 'ZHENHAO_MAX_AHEAD_MS', 'ZHENHAO_REPEAT_DAYS', 'ZHENHAO_TRUST_PROXY',
]
const SERVERS = ['KAFKA_BROKERS', 'REDIS_URL', 'CLICKHOUSE_URL', 'DATABASE_URL']

/** What cannot be done yet is refused: a setting that is read and ignored would be a promise broken in silence. */
const LATER: Readonly<Record<string, string>> = {
  OIDC_ISSUER: 'sign-in by OIDC comes with a later version; unset it and use API keys (zhenhao keys create)',
  OIDC_AUDIENCE: 'sign-in by OIDC comes with a later version; unset it',
  OIDC_ROLE_CLAIM: 'sign-in by OIDC comes with a later version; unset it',
  ZHENHAO_TOKEN_KEY_OLD: 'rotation of the token key comes with a later version; unset it and keep the present key',
}

const MAX_AHEAD_DEFAULT_MS = 300_000
const DAY_MS = 86_400_000
/** One event in a hundred shows where time goes. */
const TRACED_DEFAULT = 0.01
const KEY_CHARS = 32
/** Standard Webhooks asks for 24-64 bytes; below 16 a key can be guessed. */
const CALLBACK_KEY_BYTES = 16
const HOST_NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** The process's own environment, read here and nowhere else. */
export const configFromEnvironment = (): ConfigResult => readConfig(process.env)

/**
 * Reads all settings and reports all problems at once, each by the variable's name. Messages never show a value: a
 * secret may stand in any of them by mistake. Blanks around a value are cut off; an empty value counts as not set.
 */
export function readConfig(env: Environment): ConfigResult {
  const problems: ConfigProblem[] = [...unknownNames(env), ...notYet(env)]
  const isSet = (name: string): boolean => valueOf(env, name) !== undefined
  function read<T>(name: string, parse: (text: string) => Parsed<T>): T | undefined {
    const text = valueOf(env, name)
    const parsed = text === undefined ? undefined : parse(text)
    if (parsed !== undefined && 'fault' in parsed) problems.push({ name, message: parsed.fault })
    return parsed !== undefined && 'value' in parsed ? parsed.value : undefined
  }

  const servers = SERVERS.filter(isSet)
  const host = read('HOST', hostOf) ?? '127.0.0.1'
  const kafkaBrokers = read('KAFKA_BROKERS', brokersOf)
  const clickhouseUrl = read('CLICKHOUSE_URL', urlOf(['http:', 'https:']))
  const databaseUrl = read('DATABASE_URL', urlOf(['postgres:', 'postgresql:']))
  const redisUrls = read('REDIS_URL', redisUrlsOf)
  const tokenKey = read('ZHENHAO_TOKEN_KEY', tokenKeyOf)
  const callbackUrl = read('ZHENHAO_CALLBACK_URL', urlOf(['http:', 'https:']))
  const callbackSecret = read('ZHENHAO_CALLBACK_SECRET', callbackSecretOf)
  const traces = read('OTEL_EXPORTER_OTLP_ENDPOINT', urlOf(['http:', 'https:']))
  const ratio = read('OTEL_TRACES_SAMPLER_ARG', ratioOf) ?? TRACED_DEFAULT
  const config: Config = {
    host,
    port: read('PORT', wholeNumber(0, 65_535)) ?? 8080,
    dataDir: resolve(valueOf(env, 'ZHENHAO_DATA_DIR') ?? 'data'),
    // The checkout's own rules, seen from src/ and from dist/ alike.
    rulesDir: resolve(valueOf(env, 'ZHENHAO_RULES_DIR') ?? fileURLToPath(new URL('../rules', import.meta.url))),
    ...(kafkaBrokers && { kafkaBrokers }),
    ...(clickhouseUrl !== undefined && { clickhouseUrl }),
    ...(databaseUrl !== undefined && { databaseUrl }),
    ...(redisUrls && { redisUrls }),
    ...(tokenKey && { tokenKey }),
    ...(callbackUrl !== undefined && callbackSecret !== undefined && { callback: { url: callbackUrl, secret: callbackSecret } }),
    ...(traces !== undefined && { tracing: { endpoint: traces, ratio } }),
    timeZone: read('ZHENHAO_TIME_ZONE', timeZoneOf) ?? 'Asia/Shanghai',
    logLevel: read('LOG_LEVEL', logLevelOf) ?? 'info',
    maxAheadMs: read('ZHENHAO_MAX_AHEAD_MS', wholeNumber(0, DAY_MS)) ?? MAX_AHEAD_DEFAULT_MS,
    // CONTRACT section 2 asks for at least 30 days.
    repeatDays: read('ZHENHAO_REPEAT_DAYS', wholeNumber(30, 3_650)) ?? 90,
    trustProxy: read('ZHENHAO_TRUST_PROXY', proxiesOf) ?? [],
    demoKeys: servers.length === 0 && isLoopback(host),
  }

  if (servers.length > 0 && !isSet('ZHENHAO_TOKEN_KEY')) {
    problems.push({ name: 'ZHENHAO_TOKEN_KEY', message: `is required as soon as a server is configured (${servers.join(', ')}); ${HOW_TO_MAKE_A_KEY}` })
  }
  for (const [name, other] of [['ZHENHAO_CALLBACK_URL', 'ZHENHAO_CALLBACK_SECRET'], ['ZHENHAO_CALLBACK_SECRET', 'ZHENHAO_CALLBACK_URL']] as const) {
    if (!isSet(name) && isSet(other)) problems.push({ name, message: `is required because ${other} is set; set both or neither` })
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config }
}

/** What is configured, for people: no secret, and of an address only scheme, host and path. */
export function describeConfig(config: Config): { name: string; value: string }[] {
  const server = (url: string | undefined): string => url === undefined ? 'embedded' : withoutSecrets(url)
  return [
    { name: 'address', value: `${config.host.includes(':') ? `[${config.host}]` : config.host}:${config.port}` },
    { name: 'data directory', value: config.dataDir },
    { name: 'rules', value: config.rulesDir },
    { name: 'event log', value: config.kafkaBrokers ? `Kafka at ${config.kafkaBrokers.join(', ')}` : 'embedded' },
    { name: 'counters', value: config.redisUrls ? `Redis at ${config.redisUrls.map(withoutSecrets).join(', ')}, with the journal in PostgreSQL` : 'in this process' },
    { name: 'history (ClickHouse)', value: server(config.clickhouseUrl) },
    { name: 'people (PostgreSQL)', value: server(config.databaseUrl) },
    { name: 'token key', value: config.tokenKey ? 'from ZHENHAO_TOKEN_KEY' : 'made once in the data directory' },
    { name: 'callbacks', value: config.callback ? withoutSecrets(config.callback.url) : 'none' },
    { name: 'traces', value: config.tracing ? `${withoutSecrets(config.tracing.endpoint)}, one event in ${Math.round(1 / (config.tracing.ratio || 1e-9))}` : 'none' },
    { name: 'time zone', value: config.timeZone },
    { name: 'log level', value: config.logLevel },
    { name: 'events ahead', value: `at most ${config.maxAheadMs} ms` },
    { name: 'repeats', value: `known for ${config.repeatDays} days` },
    { name: 'trusted proxies', value: config.trustProxy.length > 0 ? config.trustProxy.join(', ') : 'none' },
    { name: 'demo keys', value: config.demoKeys ? 'yes (nothing configured, loopback only)' : 'no' },
  ]
}

type Parsed<T> = { value: T } | { fault: string }

const HOW_TO_MAKE_A_KEY = 'make one with: openssl rand -hex 32 (keep it: other keys make other tokens)'

function valueOf(env: Environment, name: string): string | undefined {
  const text = env[name]?.trim()
  return text === '' ? undefined : text
}

function unknownNames(env: Environment): ConfigProblem[] {
  return Object.keys(env).filter((name) => name.startsWith('ZHENHAO_') && !KNOWN.includes(name)).map((name) => {
    const [best] = KNOWN.map((known) => ({ known, alike: sharedEnds(name, known) })).sort((a, b) => b.alike - a.alike)
    // Half of what follows the common ZHENHAO_ must agree; a far-fetched guess helps nobody.
    const isNear = best !== undefined && (best.alike - 8) * 2 >= best.known.length - 8
    return { name, message: `no such setting; ${isNear ? `did you mean ${best.known}?` : `there are: ${KNOWN.join(', ')}`}` }
  })
}

/** Letters that two names share at their beginning and at their end. */
function sharedEnds(a: string, b: string): number {
  const longest = Math.min(a.length, b.length)
  let head = 0
  while (head < longest && a[head] === b[head]) head++
  let tail = 0
  while (tail < longest - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++
  return head + tail
}

const notYet = (env: Environment): ConfigProblem[] =>
  Object.entries(LATER).filter(([name]) => valueOf(env, name) !== undefined).map(([name, message]) => ({ name, message }))

const wholeNumber = (min: number, max: number) => (text: string): Parsed<number> =>
  /^\d{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max ? { value: Number(text) } : { fault: `must be a whole number from ${min} to ${max}` }

const ratioOf = (text: string): Parsed<number> =>
  /^(?:0?\.\d{1,9}|0|1)$/.test(text) ? { value: Number(text) } : { fault: 'must be a share from 0 to 1, like 0.01' }

const hostOf = (text: string): Parsed<string> =>
  isIP(text) !== 0 || HOST_NAME.test(text) ? { value: text } : { fault: 'must be an IP address or a host name to listen on, without a port' }

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

const listOf = (text: string): string[] => text.split(',').map((item) => item.trim()).filter((item) => item !== '')

function brokersOf(text: string): Parsed<string[]> {
  const brokers = listOf(text)
  const areAddresses = brokers.every((broker) => {
    const [, host = '', port] = /^(?:\[?([^\]]+)\]?):(\d{1,5})$/.exec(broker) ?? []
    return (isIP(host) !== 0 || HOST_NAME.test(host)) && Number(port) >= 1 && Number(port) <= 65_535
  })
  return areAddresses && brokers.length > 0 ? { value: brokers } : { fault: 'must be a list like kafka-1:9092,kafka-2:9092' }
}

function redisUrlsOf(text: string): Parsed<string[]> {
  const urls = listOf(text)
  const areServers = urls.every((url) => 'value' in urlOf(['redis:', 'rediss:'])(url))
  return areServers && urls.length > 0 ? { value: urls } : { fault: 'must be a URL that begins with redis:// or rediss://, or for a Cluster a list of them' }
}

const urlOf = (protocols: readonly string[]) => (text: string): Parsed<string> =>
  text.includes('://') && URL.canParse(text) && protocols.includes(new URL(text).protocol)
    ? { value: text } : { fault: `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}` }

/** Any long text, hashed to 32 bytes: hex, base64 and a passphrase need no telling apart. */
const tokenKeyOf = (text: string): Parsed<Uint8Array> => text.length >= KEY_CHARS
  ? { value: createHash('sha256').update(text).digest() }
  : { fault: `is too short: at least ${KEY_CHARS} characters are needed; ${HOW_TO_MAKE_A_KEY}` }

function callbackSecretOf(text: string): Parsed<string> {
  const [, base64] = /^whsec_(.*)$/.exec(text) ?? []
  if (base64 !== undefined && !BASE64.test(base64)) return { fault: 'what follows whsec_ must be base64' }
  const bytes = base64 === undefined ? Buffer.byteLength(text) : Buffer.from(base64, 'base64').length
  return bytes >= CALLBACK_KEY_BYTES ? { value: text }
    : { fault: `is too short: ${CALLBACK_KEY_BYTES} bytes or more; make one with: echo whsec_$(openssl rand -base64 32)` }
}

function timeZoneOf(text: string): Parsed<string> {
  try {
    // Some versions of Intl take an offset like +08:00, which is no name and which ClickHouse does not know.
    if (/^[+-]/.test(text)) return { fault: 'must be a time zone by name, like Asia/Shanghai' }
    return { value: new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone }
  } catch {
    return { fault: 'is no time zone of the IANA list, like Asia/Shanghai' }
  }
}

function logLevelOf(text: string): Parsed<LogLevel> {
  const level = LOG_LEVELS.find((known) => known === text.toLowerCase())
  return level === undefined ? { fault: `must be one of ${LOG_LEVELS.join(', ')}` } : { value: level }
}

function proxiesOf(text: string): Parsed<string[]> {
  const proxies = listOf(text)
  return proxies.every((proxy) => ['loopback', 'linklocal', 'uniquelocal'].includes(proxy) || isNetwork(proxy)) ? { value: proxies }
    : { fault: 'must be a list of addresses or networks, like 10.0.0.0/8,192.0.2.7, or the words loopback, linklocal, uniquelocal' }
}

/** User, password and query are left out: any of them may hold a secret. */
function withoutSecrets(text: string): string {
  const { protocol, host, pathname } = new URL(text)
  return `${protocol}//${host}${pathname}`
}
