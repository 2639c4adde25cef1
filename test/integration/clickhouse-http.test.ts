import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Connection } from '../../src/adapters/clickhouse/connection.js'
import { HistoryFault, openHistory } from '../../src/adapters/clickhouse/history-store.js'
import type { HistoryStore } from '../../src/ports/history-store.js'
import { aRequest, freshDatabase, range } from '../contract/suites/history-store.js'
import { startClickHouseHttp, type ClickHouseHttp } from '../support/clickhouse-http.js'

describe('the road to a ClickHouse server', () => {
  let path = ''
  let http: ClickHouseHttp
  let engine: Connection
  const opened: HistoryStore[] = []

  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'zhenhao-ch-http-'))
    http = await startClickHouseHttp({ path, password: 'secret-word' })
    engine = connect({ path })
  })
  afterEach(() => { http.mood = {} })
  afterAll(async () => {
    await Promise.all(opened.map((store) => store.close()))
    await engine.close()
    await http.close()
    await rm(path, { recursive: true, force: true })
  })

  function open(options: { url?: string; database?: string; timeoutMs?: number } = {}): HistoryStore {
    const store = openHistory({ url: http.url, database: freshDatabase(), ...options })
    opened.push(store)
    return store
  }
  const fault = async (call: Promise<unknown>): Promise<HistoryFault> => {
    const error: unknown = await call.then(() => undefined, (reason: unknown) => reason)
    if (!(error instanceof HistoryFault)) throw new Error('a HistoryFault was expected', { cause: error })
    return error
  }
  const count = async (database: string, table: string) =>
    (await engine.select<[number]>('a test', `SELECT count() FROM ${database}.${table}`))[0]?.[0]

  it.each([[false, ''], [true, '?compress=1']])('carries inserts with their settings and token, compressed: %s', async (compressed, parameter) => {
    const store = open({ url: `${http.url}${parameter}` })
    await store.migrate()
    http.seen.length = 0
    await store.insert('t', range(1, 50).map((seq) => aRequest(seq)))
    const inserts = http.seen.filter(({ sql }) => sql.startsWith('INSERT'))
    expect(inserts.map(({ gzip }) => gzip)).toEqual([compressed, compressed])
    expect(inserts.map(({ settings }) => settings)).toEqual(['decisions', 'events'].map((table) =>
      expect.objectContaining({ async_insert: '0', insert_deduplication_token: expect.stringMatching(`^t:.*:${table}$`) as unknown }) as unknown))
  })

  it('takes the database from the URL', async () => {
    const database = freshDatabase()
    const store = openHistory({ url: `${http.url}/${database}` })
    opened.push(store)
    await store.migrate()
    await store.insert('t', [aRequest(1)])
    expect(await count(database, 'events')).toBe(1)
  })

  it('says in plain words that the password is wrong, and does not say the password', async () => {
    const store = open({ url: http.url.replace('secret-word', 'wrong-word') })
    const found = await fault(store.migrate())
    expect(found).toMatchObject({ code: 'AUTHENTICATION_FAILED', retryable: false })
    expect(found.message).toMatch(/^ClickHouse at 127\.0\.0\.1:\d+ refused the user name or password/)
    expect(await fault(store.ping())).toMatchObject({ retryable: false })
    expect(found.message).not.toContain('wrong-word')
  })

  it('tells a mistake of ours from a trouble of the server', async () => {
    const store = open()
    expect(await fault(store.find('e-1'))).toMatchObject({ retryable: false, code: 'UNKNOWN_DATABASE' })
    http.mood = { status: 503 }
    expect(await fault(store.find('e-1'))).toMatchObject({ retryable: true, code: 'UNREACHABLE' })
  })

  it.each(['embedded', 'HTTP'])('names faults alike on both roads (%s)', async (road) => {
    const connection = connect(road === 'HTTP' ? { url: http.url } : { path })
    const failing = (code: number) => fault(connection.select('a test', `SELECT throwIf(1, 'no', ${code}::Int16) FROM numbers(1)`))
    await connection.command('a test', 'SET allow_custom_error_code_in_throwif = 1')
    expect(await failing(241)).toMatchObject({ code: 'MEMORY_LIMIT_EXCEEDED', retryable: true })
    expect(await failing(252)).toMatchObject({ code: 'TOO_MANY_PARTS', retryable: true })
    expect(await failing(60)).toMatchObject({ code: 'UNKNOWN_TABLE', retryable: false })
    expect(await fault(connection.select('a test', 'SELEC 1'))).toMatchObject({ code: 'SYNTAX_ERROR', retryable: false })
    await connection.close()
  })

  it('gives up on a slow server, to be tried again', async () => {
    const database = freshDatabase()
    await open({ database }).migrate()
    http.mood = { delayMs: 1_000 }
    const started = performance.now()
    expect(await fault(open({ database, timeoutMs: 200 }).insert('t', [aRequest(1)]))).toMatchObject({ code: 'TIMEOUT', retryable: true })
    expect(performance.now() - started).toBeLessThan(900)
  })

  it('gives up on a slow statement of the embedded engine, to be tried again', async () => {
    const slow = connect({ path, timeoutMs: 100 })
    expect(await fault(slow.select('a test', 'SELECT sleep(1)'))).toMatchObject({ code: 'TIMEOUT', retryable: true })
    await slow.close()
  })

  it('goes on where it was when a dead server comes back', async () => {
    const database = freshDatabase()
    const store = open({ database })
    await store.migrate()
    await store.insert('1', [aRequest(1)])
    await http.die()
    expect(await fault(store.insert('2', [aRequest(2)]))).toMatchObject({ code: 'UNREACHABLE', retryable: true })
    expect(await fault(store.ping())).toMatchObject({ retryable: true })
    await http.revive()
    await store.insert('2', [aRequest(2)])
    expect(await store.find('e-2')).toEqual(aRequest(2))
    expect(await count(database, 'events')).toBe(2)
  })

  it('doubles nothing when the answer to an insert is lost and it is tried again', async () => {
    const database = freshDatabase()
    const store = open({ database })
    await store.migrate()
    http.mood = { deaf: true }
    expect(await fault(store.insert('t', [aRequest(1)]))).toMatchObject({ retryable: true })
    http.mood = {}
    await store.insert('t', [aRequest(1)])
    await store.insert('t', [aRequest(1)])
    expect([await count(database, 'decisions'), await count(database, 'events')]).toEqual([1, 1])
  })

  it.each(['not a url', 'postgres://127.0.0.1/x', ''])('refuses the URL %j without repeating it', (url) => {
    expect(() => openHistory({ url })).toThrow(expect.objectContaining({ code: 'BAD_URL', message: 'CLICKHOUSE_URL is not an http(s) URL' }) as Error)
  })
})
