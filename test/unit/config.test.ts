import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { configFromEnvironment, describeConfig, readConfig, type Config, type Environment } from '../../src/config.js'

const KEY = 'k'.repeat(32)

function configOf(env: Environment): Config {
  const result = readConfig(env)
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

/** `NAME message` per problem. */
function problemsOf(env: Environment): string[] {
  const result = readConfig(env)
  return result.ok ? [] : result.problems.map(({ name, message }) => `${name} ${message}`)
}

describe('the configuration', () => {
  it('is everything embedded on loopback when nothing is set', () => {
    const config = configOf({})
    expect(config).toEqual({
      host: '127.0.0.1', port: 8080, dataDir: resolve('data'), rulesDir: resolve('rules'), timeZone: 'Asia/Shanghai', logLevel: 'info',
      maxAheadMs: 300_000, repeatDays: 90, trustProxy: [], demoKeys: true,
    })
    expect(existsSync(join(config.rulesDir, 'counters.yaml'))).toBe(true)
  })

  it('takes an empty or blank value as not set, and cuts blanks off', () => {
    expect(configOf({ PORT: '', HOST: '  ', KAFKA_BROKERS: '', ZHENHAO_TIME_ZONE: ' Asia/Urumqi\n' })).toMatchObject({ port: 8080, host: '127.0.0.1', timeZone: 'Asia/Urumqi', demoKeys: true })
  })

  it('reads every setting', () => {
    const config = configOf({
      PORT: '0', HOST: '0.0.0.0', ZHENHAO_DATA_DIR: 'elsewhere', ZHENHAO_RULES_DIR: '/etc/rules', KAFKA_BROKERS: 'kafka-1:9092, [::1]:9093,10.0.0.1:9094',
      CLICKHOUSE_URL: 'http://ch:8123/zhenhao', DATABASE_URL: 'postgres://u:p@db/zhenhao', ZHENHAO_TOKEN_KEY: KEY,
      ZHENHAO_CALLBACK_URL: 'https://core.example/holds', ZHENHAO_CALLBACK_SECRET: 'a secret of ours', LOG_LEVEL: 'WARN',
      ZHENHAO_MAX_AHEAD_MS: '60000', ZHENHAO_REPEAT_DAYS: '30', ZHENHAO_TRUST_PROXY: 'loopback, 10.0.0.0/8',
    })
    expect(config).toMatchObject({
      port: 0, host: '0.0.0.0', rulesDir: '/etc/rules', kafkaBrokers: ['kafka-1:9092', '[::1]:9093', '10.0.0.1:9094'], clickhouseUrl: 'http://ch:8123/zhenhao',
      databaseUrl: 'postgres://u:p@db/zhenhao', callback: { url: 'https://core.example/holds', secret: 'a secret of ours' }, logLevel: 'warn',
      maxAheadMs: 60_000, repeatDays: 30, trustProxy: ['loopback', '10.0.0.0/8'], demoKeys: false,
    })
    expect(isAbsolute(config.dataDir)).toBe(true)
  })

  it('takes one Redis, or the nodes of a Cluster; either makes it a server that wants a key', () => {
    expect(configOf({ REDIS_URL: 'rediss://user:pw@r:6380', ZHENHAO_TOKEN_KEY: KEY })).toMatchObject({ redisUrls: ['rediss://user:pw@r:6380'], demoKeys: false })
    expect(configOf({ REDIS_URL: 'redis://a:6379, redis://b:6379,', ZHENHAO_TOKEN_KEY: KEY }).redisUrls).toEqual(['redis://a:6379', 'redis://b:6379'])
    expect(configOf({ REDIS_URL: ' ' }).redisUrls).toBeUndefined()
    expect(problemsOf({ REDIS_URL: 'redis://a:6379' })).toEqual([expect.stringMatching(/^ZHENHAO_TOKEN_KEY is required .*REDIS_URL/)])
  })

  it('makes a token key of 32 bytes from any long text, the same for the same text', () => {
    expect(configOf({ ZHENHAO_TOKEN_KEY: KEY }).tokenKey).toEqual(createHash('sha256').update(KEY).digest())
    expect(configOf({ ZHENHAO_TOKEN_KEY: `${KEY}x` }).tokenKey).not.toEqual(configOf({ ZHENHAO_TOKEN_KEY: KEY }).tokenKey)
    expect(problemsOf({ ZHENHAO_TOKEN_KEY: 'k'.repeat(31) })).toEqual([expect.stringMatching(/^ZHENHAO_TOKEN_KEY is too short: .*openssl rand/)])
  })

  it.each(['KAFKA_BROKERS', 'CLICKHOUSE_URL', 'DATABASE_URL'])('asks for the token key as soon as %s is set, and makes no demo keys then', (name) => {
    const value = { KAFKA_BROKERS: 'k:9092', CLICKHOUSE_URL: 'http://c', DATABASE_URL: 'postgresql://d/z' }[name]
    expect(problemsOf({ [name]: value })).toEqual([expect.stringMatching(new RegExp(`^ZHENHAO_TOKEN_KEY is required .*${name}.*openssl rand`))])
    expect(configOf({ [name]: value, ZHENHAO_TOKEN_KEY: KEY }).demoKeys).toBe(false)
  })

  it.each([['127.0.0.1', true], ['127.9.9.9', true], ['::1', true], ['localhost', true], ['0.0.0.0', false], ['::', false], ['10.0.0.1', false], ['127.evil.example', false]])(
    'knows whether %s is loopback: %s', (host, demoKeys) => { expect(configOf({ HOST: host }).demoKeys).toBe(demoKeys) })

  it.each(['OIDC_ISSUER', 'OIDC_AUDIENCE', 'OIDC_ROLE_CLAIM', 'ZHENHAO_TOKEN_KEY_OLD'])('refuses %s, which it cannot do yet', (name) => {
    expect(problemsOf({ [name]: 'x', ZHENHAO_TOKEN_KEY: KEY })).toEqual([expect.stringMatching(new RegExp(`^${name} .*later version`))])
  })

  it.each([
    ['ZHENHAO_TOKENKEY', 'did you mean ZHENHAO_TOKEN_KEY?'], ['ZHENHAO_DATADIR', 'did you mean ZHENHAO_DATA_DIR?'], ['ZHENHAO_TIMEZONE', 'did you mean ZHENHAO_TIME_ZONE?'],
    ['ZHENHAO_CALBACK_URL', 'did you mean ZHENHAO_CALLBACK_URL?'], ['ZHENHAO_XYZ', 'there are: ZHENHAO_DATA_DIR'],
  ])('refuses the unknown name %s: %s', (name, words) => {
    expect(problemsOf({ [name]: 'x' })).toEqual([expect.stringContaining(words)])
  })

  it('leaves other programs\' variables alone', () => {
    expect(problemsOf({ PATH: '/bin', HOME: '/root', KAFKA_HOME: '/opt/kafka', NODE_ENV: 'production' })).toEqual([])
  })

  it.each([
    ['PORT', '65536'], ['PORT', '-1'], ['PORT', '80a'], ['PORT', '8e3'], ['HOST', 'http://x'], ['HOST', 'a:1'], ['KAFKA_BROKERS', 'kafka'], ['KAFKA_BROKERS', 'kafka:0'],
    ['KAFKA_BROKERS', 'a:1,b'], ['KAFKA_BROKERS', ','], ['KAFKA_BROKERS', 'http://a:1'], ['CLICKHOUSE_URL', 'ch:8123'], ['CLICKHOUSE_URL', 'tcp://ch'], ['DATABASE_URL', 'mysql://x'],
    ['DATABASE_URL', 'x'], ['REDIS_URL', 'redis:6379'], ['REDIS_URL', 'http://r:6379'], ['REDIS_URL', ','], ['REDIS_URL', 'redis://a:1,b:2'], ['ZHENHAO_TIME_ZONE', 'Asia/Shangai'], ['ZHENHAO_TIME_ZONE', '+08:00'], ['LOG_LEVEL', 'loud'], ['ZHENHAO_MAX_AHEAD_MS', '5m'],
    ['ZHENHAO_REPEAT_DAYS', '29'], ['ZHENHAO_TRUST_PROXY', 'true'], ['ZHENHAO_TRUST_PROXY', '10.0.0.0/33'], ['ZHENHAO_TRUST_PROXY', '10.0.0.0/8,x'],
  ])('refuses %s=%s and names it', (name, value) => {
    expect(problemsOf({ [name]: value, ZHENHAO_TOKEN_KEY: KEY })).toEqual([expect.stringMatching(new RegExp(`^${name} (must be|is no) `))])
  })

  it.each([['whsec_***', 'must be base64'], ['whsec_c2hvcnQ=', 'too short'], ['tooshort', 'too short']])('refuses the callback secret %s', (secret, words) => {
    expect(problemsOf({ ZHENHAO_CALLBACK_URL: 'http://core/', ZHENHAO_CALLBACK_SECRET: secret })).toEqual([expect.stringContaining(words)])
  })

  it('wants the callback\'s address and secret together', () => {
    expect(problemsOf({ ZHENHAO_CALLBACK_URL: 'http://core/' })).toEqual([expect.stringMatching(/^ZHENHAO_CALLBACK_SECRET is required because ZHENHAO_CALLBACK_URL/)])
    expect(problemsOf({ ZHENHAO_CALLBACK_SECRET: 'a secret of ours' })).toEqual([expect.stringMatching(/^ZHENHAO_CALLBACK_URL is required because ZHENHAO_CALLBACK_SECRET/)])
  })

  it('reports all problems at once and never shows a value', () => {
    const names = ['PORT', 'HOST', 'KAFKA_BROKERS', 'REDIS_URL', 'CLICKHOUSE_URL', 'DATABASE_URL', 'ZHENHAO_TOKEN_KEY', 'ZHENHAO_TOKEN_KEY_OLD',
      'ZHENHAO_CALLBACK_URL', 'ZHENHAO_CALLBACK_SECRET', 'ZHENHAO_TIME_ZONE', 'LOG_LEVEL', 'ZHENHAO_REPEAT_DAYS', 'ZHENHAO_TRUST_PROXY', 'ZHENHAO_TPYO']
    const problems = problemsOf(Object.fromEntries(names.map((name) => [name, 's3cr3t?!'])))
    expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual(names.sort())
    expect(problems.join()).not.toContain('s3cr3t')
  })

  it('describes itself without user, password, query or key', () => {
    const text = JSON.stringify(describeConfig(configOf({
      CLICKHOUSE_URL: 'https://user:hush@ch:8443/zhenhao?password=hush', DATABASE_URL: 'postgres://user:hush@db:5432/zhenhao', ZHENHAO_TOKEN_KEY: `hush${KEY}`,
      REDIS_URL: 'redis://hush:hush@a:6379,redis://:hush@b:6379/0', ZHENHAO_CALLBACK_URL: 'https://hush@core.example/holds?token=hush', ZHENHAO_CALLBACK_SECRET: 'hush hush hush hush',
    })))
    expect(text).toContain('https://ch:8443/zhenhao')
    expect(text).toContain('postgres://db:5432/zhenhao')
    expect(text).toContain('Redis at redis://a:6379, redis://b:6379/0')
    expect(text).not.toContain('hush')
  })

  it('reads the process\'s own environment', () => {
    process.env['ZHENHAO_REPEAT_DAYS'] = '31'
    try {
      const result = configFromEnvironment()
      expect(result.ok && result.config.repeatDays).toBe(31)
    } finally {
      delete process.env['ZHENHAO_REPEAT_DAYS']
    }
  })
})
