import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect, type Connection } from '../../src/adapters/clickhouse/connection.js'
import { openHistory, type HistoryOptions } from '../../src/adapters/clickhouse/history-store.js'
import { APPLIED } from '../../src/adapters/clickhouse/migrate.js'
import { DEFAULT_RETENTION, MIGRATIONS, bootstrap, modifyTtl } from '../../src/adapters/clickhouse/schema.js'
import type { HoldResolved } from '../../src/domain/hold.js'
import type { HistoryStore } from '../../src/ports/history-store.js'
import { startClickHouseHttp, type ClickHouseHttp } from '../support/clickhouse-http.js'
import { aConfirmation, aRequest, describeHistoryStore, freshDatabase, range, type HistoryFixture } from './suites/history-store.js'

// One data directory per process: both roads lead to the same engine, each test to a database of its own.
let path = ''
let http: ClickHouseHttp | undefined
let raw: Connection | undefined

beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), 'zhenhao-ch-'))
  http = await startClickHouseHttp({ path, password: 'p@ss/word' })
  raw = connect({ path })
})
afterAll(async () => {
  await raw?.close()
  await http?.close()
  await rm(path, { recursive: true, force: true })
})

const fixture = (options: () => HistoryOptions): HistoryFixture =>
  ({ open: (database) => openHistory({ ...options(), database }), dispose: () => Promise.resolve() })

describeHistoryStore('the engine in this process', () => Promise.resolve(fixture(() => ({ path }))))
describeHistoryStore('a server over HTTP', () => Promise.resolve(fixture(() => ({ url: http?.url ?? '' }))))

describe('the tables of the history', () => {
  const opened: HistoryStore[] = []
  afterAll(async () => { await Promise.all(opened.map((store) => store.close())) })

  async function open(options: HistoryOptions = {}): Promise<{ store: HistoryStore; database: string; rows: <T>(sql: string) => Promise<T[]> }> {
    const database = options.database ?? freshDatabase()
    const store = openHistory({ path, ...options, database })
    opened.push(store)
    await store.migrate()
    const rows = async <T>(sql: string): Promise<T[]> => await raw?.select<T>('a test', sql.replaceAll('DB.', `${database}.`)) ?? []
    return { store, database, rows }
  }

  const resolved: HoldResolved = {
    hold_id: 'hold-1', event_id: 'e-1', order_id: 'o-1', resolution: 'rejected', action: 'return_to_pool',
    by: 'lin', reason: '黄牛', at: '2026-11-20T08:00:00.007+08:00',
  }
  const hold = { hold_id: 'hold-1', expires_at: '2026-11-20T09:30:00.001+08:00', on_expiry: 'confirm' as const }
  const held = () => aRequest(1, { decision: { outcome: 'hold', hold } })

  it('hold each row once after a repeated insert, before any merge', async () => {
    const { store, rows } = await open()
    for (let i = 0; i < 3; i++) {
      await store.insert('t', [held(), aConfirmation(2)])
      await store.insertResolutions('t', [resolved])
    }
    expect(await rows('SELECT (SELECT count() FROM DB.events), (SELECT count() FROM DB.decisions), (SELECT count() FROM DB.holds)'))
      .toEqual([[2, 1, 2]])
  })

  it('keep every record once through merges, and still find it', async () => {
    const { store, database, rows } = await open()
    const other = aRequest(1, { event: { eventId: 'e-other' } })
    await store.insert('a', [aRequest(1), aRequest(2)])
    await store.insert('b', [other, aRequest(2)])
    for (const table of ['events', 'decisions']) await raw?.command('a test', `OPTIMIZE TABLE ${database}.${table} FINAL`)
    expect(await rows('SELECT (SELECT count() FROM DB.events), (SELECT count() FROM DB.decisions)')).toEqual([[3, 3]])
    for (const record of [aRequest(1), other, aRequest(2)]) expect(await store.find(record.event.eventId)).toEqual(record)
  })

  it('have NULL where the event was silent, never an empty text or a zero', async () => {
    const { store, rows } = await open()
    await store.insert('t', [aConfirmation(1), aRequest(2, { decision: { score: null } })])
    const [columns] = await rows<[string]>(`SELECT arrayStringConcat(groupArray(name), ',') FROM system.columns
      WHERE database || '.' = 'DB.' AND table = 'events' AND (name LIKE '%token' OR name IN
        ('hospital_id', 'schedule_id', 'slot_id', 'doctor_id', 'department_id', 'channel_id', 'channel_kind'))`)
    expect(columns?.[0].split(',')).toHaveLength(15)
    const allNull = (columns?.[0] ?? '').split(',').map((c) => `${c} IS NULL`).join(' AND ')
    expect(await rows(`SELECT ${allNull} FROM DB.events WHERE seq = 1`)).toEqual([[1]])
    expect(await rows('SELECT score, model_version, hold_id FROM DB.decisions')).toEqual([[null, null, null]])
  })

  it('keep times to the millisecond', async () => {
    const { store, rows } = await open()
    await store.insert('t', [aRequest(1)])
    const { acceptedAt, event } = aRequest(1)
    expect(await rows('SELECT toUnixTimestamp64Milli(accepted_at), toUnixTimestamp64Milli(occurred_at) FROM DB.events'))
      .toEqual([[acceptedAt, event.occurredAt]])
    expect(await rows('SELECT toUnixTimestamp64Milli(decided_at) FROM DB.decisions')).toEqual([[event.occurredAt + 5]])
  })

  it('have the nearest time they can hold for one that they cannot', async () => {
    const { store, rows } = await open()
    const times = ['1700-01-01T00:00:00.412+08:00', '9999-01-01T00:00:00.412+08:00']
    await store.insert('t', times.map((at, i) => aRequest(i, { event: { occurredAt: Date.parse(at) }, decision: { decided_at: at } })))
    const nearest = [Date.UTC(1900, 0, 1), Date.UTC(2299, 11, 31)]
    for (const table of ['events', 'decisions']) {
      expect(await rows(`SELECT toUnixTimestamp64Milli(occurred_at) FROM DB.${table} ORDER BY seq`)).toEqual(nearest.map((ms) => [ms]))
    }
    expect(await rows('SELECT toUnixTimestamp64Milli(decided_at) FROM DB.decisions ORDER BY seq')).toEqual(nearest.map((ms) => [ms]))
  })

  it('keep the documents as they were written, to the byte', async () => {
    const { store, rows } = await open()
    const record = aRequest(1, { event: { eventId: '王 "\\" 😀 / \u2028', session: { captchaMs: 0.1, pageViews: 1e9, openedAt: -1.5 } } })
    await store.insert('t', [record])
    expect(await rows('SELECT decision, review FROM DB.decisions')).toEqual([[record.decision, JSON.stringify(record.review)]])
    const [event] = await rows<[string]>('SELECT event FROM DB.events')
    expect(JSON.parse(event?.[0] ?? '')).toEqual(record.event)
  })

  it.each(['in this process', 'over HTTP'])('refuse a record that the engine cannot read, rather than make a row of nothing (%s)', async (road) => {
    const { store } = await open(road === 'over HTTP' ? { url: http?.url ?? '' } : {})
    const refused = { code: 'VIOLATED_CONSTRAINT', retryable: false }
    const tornEvent = { ...aConfirmation(1), lines: Buffer.from('{"seq":1,"event":{"eventId"\n\n') }
    await expect(store.insert('t', [tornEvent])).rejects.toMatchObject(refused)
    const tornDecision = { ...aRequest(1), lines: Buffer.from('{"seq":1,"event":{"eventId":"e"}}\n{\n') }
    await expect(store.insert('u', [tornDecision])).rejects.toMatchObject(refused)
  })

  it('tell a decision apart by column: outcome, reasons, rules, versions, where and who', async () => {
    const { store, rows } = await open()
    await store.insert('t', [aRequest(1)])
    expect(await rows(`SELECT hospital_id, doctor_id, channel_id, channel_kind, outcome, basis, score, reason_codes, would_be,
      would_be_reason_codes, enforcement, rule_score, rule_ids, shadow_rule_ids, rules_version, model_version,
      policy_version, saturated FROM DB.decisions`)).toEqual([[
      'h-007', 'd-1', 'wechat', 'mini_program', 'allow', 'risk', 0.25, ['SLOT_HANDOFF'], 'hold', ['SLOT_HANDOFF'], 'observe', 42.5,
      ['handoff'], [], 'r-1', null, 'p-1', ['ip_orders_1h'],
    ]])
  })

  it('show features by name: numbers and booleans, texts apart, a missing one without a key', async () => {
    const { store, rows } = await open()
    const { review, ...withoutReview } = aRequest(2)
    expect(review).toBeDefined()
    await store.insert('t', [aRequest(1), withoutReview])
    expect(await rows('SELECT features, feature_texts FROM DB.decisions ORDER BY seq')).toEqual([
      [{ handoff_gap_s: 3.5, emulator: 0, proxy: 1, slot_hands: 0 }, { id_province: '11' }],
      [{}, {}],
    ])
  })

  it.each(['the hold first', 'its end first'])('join a hold and its end into one row (%s)', async (order) => {
    const { store, rows } = await open()
    const steps = [() => store.insert('t', [held()]), () => store.insertResolutions('t', [resolved])]
    for (const step of order === 'the hold first' ? steps : steps.reverse()) await step()
    expect(await rows(`SELECT hospital_id, schedule_id, doctor_id, on_expiry, toUnixTimestamp64Milli(assumeNotNull(expires_at)),
      resolution, action, resolved_by, reason,
      toUnixTimestamp64Milli(assumeNotNull(resolved_at)) FROM DB.holds FINAL`)).toEqual([[
      'h-007', 's-1', 'd-1', 'confirm', Date.parse(hold.expires_at), 'rejected', 'return_to_pool', 'lin', '黄牛', Date.parse(resolved.at),
    ]])
  })

  it('keep any text a person gave as the reason', async () => {
    const { store, rows } = await open()
    const reason = ' tab\tand\r\nline, \\N, \0, \'"号 '
    await store.insertResolutions('t', [{ ...resolved, reason }])
    expect(await rows('SELECT reason FROM DB.holds FINAL')).toEqual([[reason]])
  })

  it('show an active hold without a resolution', async () => {
    const { store, rows } = await open()
    await store.insert('t', [held()])
    expect(await rows('SELECT resolution, resolved_at FROM DB.holds FINAL')).toEqual([[null, null]])
  })

  it('expire by a retention that the configuration can change later', async () => {
    const ttls = async (rows: <T>(sql: string) => Promise<T[]>) =>
      (await rows<[string]>(`SELECT extract(create_table_query, 'TTL (.*?) SETTINGS') FROM system.tables
        WHERE database || '.' = 'DB.' AND engine LIKE '%MergeTree' AND name != 'schema_migrations' ORDER BY name`)).flat()
    const { database, rows } = await open()
    expect(await ttls(rows)).toEqual([
      'toDateTime(decided_at) + toIntervalDay(1095)', 'toDateTime(accepted_at) + toIntervalDay(400)', 'toDateTime(first_at) + toIntervalDay(1095)',
    ])
    await open({ database, retention: { eventsDays: 90 } })
    expect(await ttls(rows)).toContain('toDateTime(accepted_at) + toIntervalDay(90)')
  })

  it('are not touched by a program older than they are', async () => {
    const { store, database, rows } = await open()
    await raw?.insert(`${database}.schema_migrations`, 'v99', [{ version: 99, name: 'tomorrow' }], APPLIED)
    const message: unknown = expect.stringContaining('version 99')
    await expect(store.migrate()).rejects.toMatchObject({ code: 'NEWER_SCHEMA', retryable: false, message })
    expect(await rows('SELECT max(version) FROM DB.schema_migrations')).toEqual([[99]])
  })

  it('are spread over a cluster as replicated tables behind distributed ones', () => {
    const layout = { database: 'zhenhao', cluster: 'main', retention: DEFAULT_RETENTION }
    const ddl = [...bootstrap(layout), ...MIGRATIONS.flatMap((m) => m.statements(layout))]
    expect(ddl.every((statement) => statement.includes('ON CLUSTER main'))).toBe(true)
    expect(ddl.join('\n')).toContain(`ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/zhenhao/events', '{replica}') PARTITION BY`)
    expect(ddl.join('\n')).toContain(`ReplicatedReplacingMergeTree('/clickhouse/tables/all/zhenhao/schema_migrations', '{replica}')`)
    expect(ddl.join('\n')).toContain('Distributed(main, zhenhao, holds_local, cityHash64(hold_id))')
    expect(ddl.join('\n')).not.toContain('non_replicated')
    const moved = 'ALTER TABLE zhenhao.events_local ON CLUSTER main MODIFY TTL toDateTime(accepted_at) + toIntervalDay(400)'
    expect(modifyTtl(layout, 'events')).toContain(moved)
  })

  it('have no name that could carry SQL', () => {
    expect(() => openHistory({ path, database: 'x; DROP' })).toThrow(RangeError)
    expect(() => openHistory({ path, replicated: { cluster: `a'b` } })).toThrow(RangeError)
  })
})

describe('the engine in this process', () => {
  it('leaves the event loop free during a large insert', async () => {
    const store = openHistory({ path, database: freshDatabase() })
    await store.migrate()
    const batch = range(1, 5_000).map((seq) => aRequest(seq))
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const started = performance.now()
    await store.insert('t', batch)
    const tookMs = performance.now() - started
    delay.disable()
    await store.close()
    // A blocking engine would hold the loop for nearly the whole time.
    expect(delay.max / 1e6).toBeLessThan(tookMs / 2)
  })

  it('opens again after a kill -9 with every acknowledged row', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'zhenhao-ch-kill-'))
    const script = fileURLToPath(new URL('../support/clickhouse-child.ts', import.meta.url))
    const start = (mode: string) => {
      const code = `const { runnerImport } = await import('vite')
        const { module } = await runnerImport(${JSON.stringify(script)})
        await module.main(${JSON.stringify([dir, mode])})`
      return spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    }
    try {
      const writer = start('write')
      let acknowledged = 0
      for await (const chunk of writer.stdout) {
        acknowledged = Math.max(acknowledged, ...String(chunk).trim().split('\n').map(Number))
        if (acknowledged >= 300) break
      }
      writer.kill('SIGKILL')
      if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit')

      const reader = start('read')
      const [line] = await once(reader.stdout, 'data') as [Buffer]
      const found = JSON.parse(String(line)) as { seqs: number[]; decided: number }
      expect(found.seqs.length).toBeGreaterThanOrEqual(acknowledged)
      expect(found.seqs).toEqual(range(1, found.seqs.length))
      expect(found.decided).toBe(found.seqs.length)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }, 60_000)
})
