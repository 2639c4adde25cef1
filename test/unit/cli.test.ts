import { describe, expect, it } from 'vitest'
import { writeChecks } from '../../src/cli/doctor.js'
import type { ExitCode, Io } from '../../src/cli/io.js'
import { writeCreatedKey, writeKeys, writeRevoked } from '../../src/cli/keys.js'
import { runCli, type Actions } from '../../src/cli/program.js'
import { createProgress } from '../../src/cli/progress.js'
import { createRejectReport, writeReplaySummary, type ReplaySummary } from '../../src/cli/replay.js'
import { writeRulesCheck } from '../../src/cli/rules.js'
import { writeConfigProblems, writeSettings } from '../../src/cli/serve.js'

/** An Io that keeps what is written to it. */
function capture(isTTY = false): Io & { out: () => string; err: () => string } {
  const [out, err]: [string[], string[]] = [[], []]
  return {
    isTTY, stdout: { write: (text) => out.push(text) }, stderr: { write: (text) => err.push(text), columns: 60 },
    out: () => out.join(''), err: () => err.join(''),
  }
}

/** Runs the command line with actions that only note their call and end with `code`. */
async function run(args: string[], code: ExitCode = 0): Promise<{ code: ExitCode; calls: [string, unknown][]; out: string; err: string }> {
  const calls: [string, unknown][] = []
  const note = (name: string) => (options?: unknown) => { calls.push([name, options]); return Promise.resolve(code) }
  const actions: Actions = {
    serve: note('serve'), replay: note('replay'), simulate: note('simulate'), evaluate: note('evaluate'), rulesCheck: note('rulesCheck'), rebuild: note('rebuild'), doctor: note('doctor'),
    keysCreate: note('keysCreate'), keysList: note('keysList'), keysRevoke: note('keysRevoke'),
  }
  const io = capture()
  const result = await runCli(actions, io, args)
  return { code: result, calls, out: io.out(), err: io.err() }
}

describe('zhenhao', () => {
  it.each<[string, string, unknown]>([
    ['serve', 'serve', { roles: ['api', 'stream', 'console'], checkConfig: false }],
    ['serve --roles stream,api --check-config', 'serve', { roles: ['api', 'stream'], checkConfig: true }],
    ['replay a.ndjson', 'replay', { files: ['a.ndjson'], speed: 'max', record: false, json: false }],
    ['replay a - --decisions d --rejects r --speed 2.5 --record --json', 'replay', { files: ['a', '-'], decisions: 'd', rejects: 'r', speed: 2.5, record: true, json: true }],
    ['rules check', 'rulesCheck', { json: false }],
    ['rules check next --json', 'rulesCheck', { dir: 'next', json: true }],
    ['rebuild', 'rebuild', undefined],
    ['keys create --role admin', 'keysCreate', { role: 'admin', json: false }],
    ['keys create --role hospital --hospital h-007 --cidr 10.0.0.0/8 --json', 'keysCreate', { role: 'hospital', hospital: 'h-007', cidr: '10.0.0.0/8', json: true }],
    ['keys list --json', 'keysList', { json: true }],
    ['keys revoke k-1', 'keysRevoke', { keyId: 'k-1' }],
    ['doctor', 'doctor', { json: false }],
  ])('understands: %s', async (line, name, options) => {
    expect(await run(line.split(' '))).toMatchObject({ code: 0, calls: [[name, options]], err: '' })
  })

  it.each<[string, string]>([
    ['', 'Usage: zhenhao'], ['serv', 'Did you mean serve?'], ['serve --rolez api', 'Did you mean --roles?'], ['serve extra', 'too many arguments'],
    ['serve --roles api,cook', "There is no role 'cook'"], ['replay', 'missing required argument'], ['replay - -', 'only once'], ['replay a --speed fast', "'max' or a number"],
    ['replay a --speed 0', "'max' or a number"], ['replay a --decisions ./a', 'would be overwritten'], ['replay a --decisions x --rejects ./x', 'the same file'],
    ['replay a --decisions -', 'name of a file'], ['rules', 'Usage: zhenhao rules'], ['rules chek', 'Did you mean check?'], ['keys', 'Usage: zhenhao keys'], ['keys create', '--role'],
    ['keys create --role king', 'Allowed choices are booking_core'], ['keys create --role hospital', 'needs --hospital'],
    ['keys create --role admin --hospital h-1', 'goes with --role hospital'], ['keys create --role admin --cidr 10.0.0.0/40', 'a network like'],
    ['keys create --role admin --cidr ten', 'a network like'], ['keys revoke', 'missing required argument'], ['doctor --jsn', 'Did you mean --json?'],
  ])('refuses with exit code 2 and words on stderr: zhenhao %s', async (line, words) => {
    const result = await run(line === '' ? [] : line.split(' '))
    expect(result).toMatchObject({ code: 2, calls: [], out: '' })
    expect(result.err).toContain(words)
  })

  it.each(['--help', 'serve --help', 'replay --help', 'keys create --help', 'help replay'])('prints help with examples on stdout: %s', async (line) => {
    const result = await run(line.split(' '))
    expect(result).toMatchObject({ code: 0, calls: [], err: '' })
    expect(result.out).toMatch(/Usage: zhenhao[\s\S]*Examples:\n {2}zhenhao/)
  })

  it('prints its version', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string })
  })

  it('ends with the exit code of the command', async () => {
    expect((await run(['doctor'], 1)).code).toBe(1)
  })

  it('prints a fault and its cause without a stack, exit code 1', async () => {
    const io = capture()
    const failing: Actions = { ...noActions, rebuild: () => Promise.reject(new Error('history cannot be read', { cause: new Error('connection refused') })) }
    expect(await runCli(failing, io, ['rebuild'])).toBe(1)
    expect(io.err()).toBe('zhenhao: history cannot be read: connection refused\n')
  })
})

const done = (): Promise<ExitCode> => Promise.resolve(0)
const noActions: Actions = { serve: done, replay: done, simulate: done, evaluate: done, rulesCheck: done, rebuild: done, doctor: done, keysCreate: done, keysList: done, keysRevoke: done }

describe('the summary of a replay', () => {
  const summary: ReplaySummary = {
    lines: 12_000, outcomes: { allow: 9_000, challenge: 500, throttle: 300, hold: 200, deny: 0 }, otherEvents: 1_900, duplicates: 50, conflicts: 3, tooOld: 0, rejected: 47, seconds: 2,
  }

  it('counts every outcome and everything that was not decided', () => {
    const io = capture()
    expect(writeReplaySummary(io, summary, { json: false })).toBe(0)
    const lines = io.out().split('\n')
    expect(lines[0]).toBe('Replayed 12,000 events in 2.0 s (6,000 events/s)')
    expect(lines).toEqual(expect.arrayContaining([
      expect.stringMatching(/^bookings decided +10,000$/), expect.stringMatching(/^ {2}allow +9,000 +90\.0 %$/), expect.stringMatching(/^ {2}hold +200 +2\.0 %$/),
      expect.stringMatching(/^ {2}deny +0$/), expect.stringMatching(/^other events +1,900$/), expect.stringMatching(/^duplicates +50 /),
      expect.stringMatching(/^conflicts +3 /), expect.stringMatching(/^rejected +47 +--rejects FILE would keep them$/),
    ]))
  })

  it('says where the rejected lines are', () => {
    const io = capture()
    writeReplaySummary(io, summary, { json: false, rejects: 'bad.ndjson' })
    expect(io.out()).toMatch(/rejected +47 +in bad\.ndjson\n$/)
  })

  it('is one line of JSON when asked', () => {
    const io = capture()
    writeReplaySummary(io, summary, { json: true })
    expect(JSON.parse(io.out())).toEqual({
      lines: 12_000, outcomes: summary.outcomes, other_events: 1_900, duplicates: 50, conflicts: 3, too_old: 0, rejected: 47, seconds: 2, events_per_second: 6_000,
    })
  })

  it('reports the first twenty bad lines with file, number and place, and says that there are more', () => {
    const io = capture()
    const report = createRejectReport(io)
    report('-', 7, [{ path: '', message: 'is not JSON' }])
    for (let line = 1; line <= 30; line++) report('a.ndjson', line, [{ path: '/patient/id_number', message: 'is missing' }, { path: '/type', message: 'is unknown' }])
    const lines = io.err().trimEnd().split('\n')
    expect(lines.slice(0, 2)).toEqual(['<stdin>:7: is not JSON', 'a.ndjson:1: /patient/id_number: is missing; /type: is unknown'])
    expect(lines).toHaveLength(21)
    expect(lines[20]).toContain('--rejects FILE')
  })
})

describe('progress', () => {
  const clock = (): { now: () => number; pass: (ms: number) => void } => {
    let atMs = 0
    return { now: () => atMs, pass: (ms) => { atMs += ms } }
  }

  it('is one line written anew on a terminal, cut to its width and taken away at the end', () => {
    const [io, time] = [capture(true), clock()]
    const progress = createProgress(io, time.now, { label: 'replay', unit: 'events of a city with a very long name indeed', total: 50_000 })
    for (const done of [1, 1_000, 12_500]) { progress.update(done); time.pass(100) }
    progress.finish()
    const written = io.err().split('\r\u001b[2K')
    expect(written).toHaveLength(4)
    expect(written[2]).toMatch(/^replay: 12,500 of 50,000 \(25 %\) events/)
    expect(written[2]).toHaveLength(59)
    expect(io.err().endsWith('\u001b[2K')).toBe(true)
  })

  it('is a plain line every five seconds elsewhere, and nothing for short work', () => {
    const [io, time] = [capture(), clock()]
    const progress = createProgress(io, time.now, { label: 'rebuild', unit: 'events' })
    time.pass(4_999)
    progress.update(1_000)
    expect(io.err()).toBe('')
    time.pass(1)
    progress.update(10_000)
    progress.update(10_001)
    progress.finish()
    expect(io.err()).toBe('rebuild: 10,000 events, 2,000/s\n')
  })
})

describe('what the other commands print', () => {
  const key = { keyId: 'k-1', role: 'hospital', hospitalId: 'h-007', createdAt: Date.UTC(2026, 10, 20) } as const

  it('gives the secret of a new key on stdout alone', () => {
    const io = capture()
    expect(writeCreatedKey(io, key, 'zh_secret', { json: false })).toBe(0)
    expect(io.out()).toBe('zh_secret\n')
    expect(io.err()).toContain('hospital:h-007')
    const asJson = capture()
    writeCreatedKey(asJson, key, 'zh_secret', { json: true })
    expect(JSON.parse(asJson.out())).toEqual({ key_id: 'k-1', role: 'hospital', hospital_id: 'h-007', created_at: '2026-11-20T00:00:00.000Z', secret: 'zh_secret' })
  })

  it('lists keys without their hashes', () => {
    const stored = [{ ...key, secretHash: 'h4sh' }, { keyId: 'k-2', role: 'admin', createdAt: 0, revokedAt: 1_000, cidr: '10.0.0.0/8', secretHash: 'h4sh' }] as const
    const [text, json, none] = [capture(), capture(), capture()]
    writeKeys(text, stored, { json: false })
    writeKeys(json, stored, { json: true })
    writeKeys(none, [], { json: false })
    expect(text.out()).toMatch(/k-1 +hospital:h-007 +any address +2026-11-20T00:00:00\.000Z +active\nk-2 +admin +10\.0\.0\.0\/8 .* revoked 1970-01-01T00:00:01\.000Z\n/)
    expect(JSON.parse(json.out())).toHaveLength(2)
    expect(text.out() + json.out()).not.toContain('h4sh')
    expect(none.out()).toContain('zhenhao keys create')
  })

  it('fails to revoke a key that is not there', () => {
    const [good, bad] = [capture(), capture()]
    expect([writeRevoked(good, 'k-1', true), writeRevoked(bad, 'k-9', false)]).toEqual([0, 1])
    expect(bad.err()).toContain('zhenhao keys list')
  })

  it('shows problems of rules with file and line, exit code 1', () => {
    const [good, bad, json] = [capture(), capture(), capture()]
    const problems = [{ file: 'packs/a.yaml', line: 7, message: 'no such feature' }]
    expect(writeRulesCheck(good, { rules: 12, policies: 3, problems: [] }, { json: false })).toBe(0)
    expect(writeRulesCheck(bad, { rules: 0, policies: 0, problems }, { json: false })).toBe(1)
    expect(writeRulesCheck(json, { rules: 0, policies: 0, problems }, { json: true })).toBe(1)
    expect(good.out()).toBe('12 rules and 3 policies are in order.\n')
    expect(bad.err()).toContain('packs/a.yaml:7: no such feature\n')
    expect(JSON.parse(json.out())).toMatchObject({ ok: false, problems })
  })

  it('shows what the doctor found and what to do, exit code 1 when anything is wrong', () => {
    const io = capture()
    const checks = [{ name: 'kafka', ok: true, detail: '3 brokers' }, { name: 'postgres', ok: false, detail: 'refused', advice: 'is it running?' }]
    expect(writeChecks(io, checks, { json: false })).toBe(1)
    expect(io.out()).toBe('ok     kafka     3 brokers\nWRONG  postgres  refused\n                 -> is it running?\n')
    expect(writeChecks(capture(), checks.slice(0, 1), { json: true })).toBe(0)
  })

  it('shows the settings, or all problems of them', () => {
    const [good, bad] = [capture(), capture()]
    expect(writeSettings(good, [{ name: 'address', value: '127.0.0.1:8080' }])).toBe(0)
    expect(good.out()).toBe('address  127.0.0.1:8080\nThe configuration is in order.\n')
    expect(writeConfigProblems(bad, [{ name: 'PORT', message: 'must be a number' }, { name: 'HOST', message: 'must be a host' }])).toBe(1)
    expect(bad.err()).toBe('The configuration has 2 problems:\n  PORT  must be a number\n  HOST  must be a host\n')
  })
})
