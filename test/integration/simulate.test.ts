import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { runCli } from '../../src/cli/program.js'
import { createActions } from '../../src/main/commands.js'
import { startKafka, type KafkaBroker } from '../support/kafka.js'
import { openOutsideKafka } from '../support/outside-kafka.js'

let dir = ''
beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'zhenhao-simulate-')) })
afterAll(async () => { await rm(dir, { recursive: true, force: true }) })
afterEach(() => { vi.unstubAllEnvs() })

/** Runs `zhenhao simulate`; `@x` names a file of the test's directory. */
async function run(line: string, command = 'simulate'): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []]
  const io = { isTTY: false, stdout: { write: (chunk: string) => out.push(chunk) }, stderr: { write: (chunk: string) => err.push(chunk) } }
  const code = await runCli(createActions(io), io, [command, ...line.split(' ').map((word) => word.startsWith('@') ? join(dir, word.slice(1)) : word)])
  return { code, out: out.join(''), err: err.join('') }
}

const SMALL = '--days 2 --seed 4 --bookings-per-day 200 --hospitals 8'
const fileOf = (name: string): Promise<string> => readFile(join(dir, name), 'utf8')
const linesOf = async (name: string): Promise<string[]> => (await fileOf(name)).split('\n').slice(0, -1)

interface Summary { events: number; bookings: number; scalper_share: number; gangs: number; tactics: Record<string, number>; groups: Record<string, number>; sent?: { accepted: number; duplicates: number; rejected: number } }

describe('zhenhao simulate', () => {
  it('writes the same bytes every time, and counts what it wrote', async () => {
    const first = await run(`${SMALL} --out @e --labels @l --json`)
    expect([first.code, first.err]).toEqual([0, ''])
    await run(`${SMALL} --out @e2 --labels @l2`)
    expect(await fileOf('e2')).toBe(await fileOf('e'))
    expect(await fileOf('l2')).toBe(await fileOf('l'))
    const [events, labels] = [await linesOf('e'), (await linesOf('l')).map((line) => JSON.parse(line) as { event_id: string; label: string; tactic?: string; group?: string })]
    const summary = JSON.parse(first.out) as Summary
    expect(summary.events).toBe(events.length)
    expect(summary.bookings).toBe(labels.length)
    expect(summary.scalper_share).toBeCloseTo(labels.filter(({ label }) => label === 'scalper').length / labels.length, 4)
    for (const [tactic, count] of Object.entries(summary.tactics)) expect(labels.filter((label) => label.tactic === tactic).length, tactic).toBe(count)
    for (const [group, count] of Object.entries(summary.groups)) expect(labels.filter((label) => label.group === group).length, group).toBe(count)
    const requests = new Set(events.map((line) => JSON.parse(line) as { event_id: string; type: string }).filter(({ type }) => type === 'booking.requested').map((event) => event.event_id))
    expect(new Set(labels.map((label) => label.event_id))).toEqual(requests)
  })

  it('writes what replay takes without a rejected line', async () => {
    await run(`${SMALL} --out @replayed`)
    const replayed = await run('@replayed --json', 'replay')
    expect(JSON.parse(replayed.out)).toMatchObject({ lines: (await linesOf('replayed')).length, rejected: 0, duplicates: 0, conflicts: 0 })
  })

  it('moves the whole city to another first day', async () => {
    await run(`${SMALL} --start 2026-11-20 --out @later`)
    const [first = ''] = await linesOf('later')
    expect((JSON.parse(first) as { occurred_at: string }).occurred_at).toMatch(/^2026-11-20T00:/)
  })

  it('prints a table for people: the share of gangs, every tactic, every group', async () => {
    const { out } = await run(`${SMALL} --scalpers 0.1 --labels @t`)
    expect(out).toMatch(/^Made [\d,]+ events in [\d.]+ s \([\d,]+ events\/s\)\n/)
    for (const row of [/^booking requests +[\d,]+$/m, /^ {2}of gangs +\d+ +\d+\.\d\d %, \d+ gangs$/m, /^ {4}T15 +\d+$/m, /^ {4}village_clinic +\d+$/m, /^other events +[\d,]+$/m]) expect(out).toMatch(row)
  })

  it('keeps to the pace it is told', async () => {
    const startedAt = Date.now()
    await run('--days 1 --seed 4 --bookings-per-day 50 --hospitals 4 --speed 60000 --out @paced')
    const tookMs = Date.now() - startedAt
    const times = (await linesOf('paced')).map((line) => Date.parse((JSON.parse(line) as { occurred_at: string }).occurred_at))
    const cityMs = (times.at(-1) ?? 0) - (times[0] ?? 0)
    expect(cityMs).toBeGreaterThan(12 * 3_600_000)
    expect(tookMs).toBeGreaterThan(cityMs / 60_000)
  })

  it.each<[string, string]>([
    ['--days 1', 'nothing would be written'], ['--out @a --labels @a', 'the same file'], ['--out @a --days 0', 'a whole number from 1'], ['--out @a --scalpers 0.9', 'a share from 0 to 0.5'],
    ['--out @a --start 2026-02-30', 'a date that exists'], ['--to ftp://x', 'an address like'], ['--to http://127.0.0.1:1', 'needs --key-file'], ['--out @a --key-file @k', 'goes with --to http'],
    ['--to http://u:p@127.0.0.1:1 --key-file @k', 'belongs into --key-file'],
  ])('refuses with exit code 2: simulate %s', async (line, words) => {
    const { code, err } = await run(line)
    expect([code, err]).toEqual([2, expect.stringContaining(words)])
  })

  it('says that Kafka is not configured', async () => {
    vi.stubEnv('KAFKA_BROKERS', '')
    expect(await run(`${SMALL} --to kafka`)).toMatchObject({ code: 1, err: expect.stringContaining('KAFKA_BROKERS') as unknown })
  })
})

/** A receiver of `POST /v1/events` that keeps what it got; the first call is turned away. */
async function receiver(): Promise<{ url: string; got: { headers: IncomingHttpHeaders; lines: string[] }[]; close: () => Promise<void> }> {
  const got: { headers: IncomingHttpHeaders; lines: string[] }[] = []
  let isFirst = true
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      if (isFirst) { isFirst = false; response.writeHead(429, { 'retry-after': '1' }).end(); return }
      const lines = body.split('\n')
      got.push({ headers: request.headers, lines })
      if (request.headers.authorization !== 'Bearer zh_secret') { response.writeHead(401, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ title: 'Unauthorized' })); return }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ accepted: lines.length - 1, duplicates: 1, rejected: [] }))
    })
  })
  await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done) })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, got, close: () => new Promise((done) => { server.close(() => { done() }) }) }
}

describe('zhenhao simulate --to http://…', () => {
  it('sends every event once, in order, in batches, with the key, and waits when it is told to', async () => {
    const server = await receiver()
    await writeFile(join(dir, 'key'), 'zh_secret\n')
    const { code, out } = await run(`${SMALL} --out @sent --to ${server.url} --key-file @key --json`)
    await server.close()
    expect(code).toBe(0)
    expect(server.got.flatMap(({ lines }) => lines)).toEqual(await linesOf('sent'))
    expect(server.got[0]?.headers).toMatchObject({ authorization: 'Bearer zh_secret', 'content-type': 'application/x-ndjson' })
    expect(server.got.every(({ lines }) => lines.length <= 500)).toBe(true)
    const { sent, events } = JSON.parse(out) as Summary
    expect(sent).toEqual({ accepted: events - server.got.length, duplicates: server.got.length, rejected: 0 })
  })

  it('fails with the server\'s reason, and never with the key', async () => {
    const server = await receiver()
    await writeFile(join(dir, 'wrong'), 'zh_wrong')
    const { code, err } = await run(`${SMALL} --to ${server.url} --key-file @wrong`)
    await server.close()
    expect([code, err]).toEqual([1, expect.stringContaining('answered 401 to /v1/events: Unauthorized')])
    expect(err).not.toContain('zh_wrong')
  })
})

describe('zhenhao simulate --to kafka', () => {
  let kafka: KafkaBroker | undefined
  beforeAll(async () => { kafka = await startKafka() })
  afterAll(async () => { await kafka?.stop() })

  it('publishes every event to booking-events, keyed by its schedule, in order per key', async (context) => {
    if (kafka === undefined) { context.skip(); return }
    vi.stubEnv('KAFKA_BROKERS', kafka.brokers)
    vi.stubEnv('ZHENHAO_TOKEN_KEY', 'k'.repeat(43))
    vi.stubEnv('ZHENHAO_DATA_DIR', join(dir, 'data'))
    const { code, err } = await run(`${SMALL} --out @kafka --to kafka`)
    expect([code, err]).toEqual([0, ''])
    const outside = await openOutsideKafka(kafka.brokers)
    const got: { key: string | null; value: string }[] = []
    const follower = await outside.follow(['booking-events'], (_topic, { key, value }) => { got.push({ key, value: value.toString('utf8') }) })
    await follower.caughtUp()
    await outside.close()
    const wanted: string[] = []
    for await (const line of createInterface({ input: createReadStream(join(dir, 'kafka')) })) wanted.push(line)
    expect(got.map(({ value }) => value).sort()).toEqual([...wanted].sort())
    for (const { key, value } of got.slice(0, 500)) {
      const event = JSON.parse(value) as { slot?: { schedule_id: string } }
      if (event.slot) expect(key).toBe(event.slot.schedule_id)
    }
    const place = new Map(wanted.map((line, i) => [line, i])), last = new Map<string, number>()
    for (const { key, value } of got) {
      const at = place.get(value) ?? -1
      expect(at).toBeGreaterThan(last.get(key ?? '') ?? -1)
      last.set(key ?? '', at)
    }
  })
})
