import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCli } from '../../src/cli/program.js'
import { createActions } from '../../src/main/commands.js'
import { legit, measure, order, scalper, SMALL, together, type Case } from '../unit/learn/evaluate-cases.js'

let dir = ''
beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'zhenhao-evaluate-')) })
afterAll(async () => { await rm(dir, { recursive: true, force: true }) })

/** Runs `zhenhao evaluate`; `@x` names a file of the test's directory. */
async function run(line: string): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []]
  const io = { isTTY: false, stdout: { write: (text: string) => out.push(text) }, stderr: { write: (text: string) => err.push(text) } }
  const code = await runCli(createActions(io), io, ['evaluate', ...line.split(' ').map((word) => word.startsWith('@') ? join(dir, word.slice(1)) : word)])
  return { code, out: out.join(''), err: err.join('').replaceAll(`${dir}/`, '@') }
}

const decisionLines = ({ decisions }: Case): string[] => decisions.map((one) => JSON.stringify({
  decision_id: `d-${one.eventId}`, event_id: one.eventId, order_id: one.orderId, decided_at: new Date(one.decidedAt).toISOString(), outcome: one.outcome, basis: one.basis, score: null,
  reasons: one.codes.map((code) => ({ code, message: { zh: '原因', en: 'reason' } })), degraded: [], versions: { rules: 'r', model: null, policy: 'p' },
}))
const labelLines = ({ labels }: Case): string[] => labels.map(({ eventId, kind, tactic, gang, group }) => JSON.stringify({ event_id: eventId, label: kind, tactic, gang, group }))
const put = (name: string, lines: readonly string[], end = '\n'): Promise<void> => writeFile(join(dir, name), lines.join(end) + end)

describe('zhenhao evaluate', () => {
  beforeAll(async () => {
    await put('d', decisionLines(SMALL))
    await put('l', labelLines(SMALL))
  })

  it('prints the report as one line of JSON', async () => {
    const { code, out, err } = await run('--decisions @d --labels @l --json')
    expect([code, err, out.split('\n').length]).toEqual([0, '', 2])
    const expected = await measure(SMALL)
    expect(JSON.parse(out)).toEqual({ ...expected, input: { ...expected.input, bad_lines: { decisions: 0, labels: 0, events: 0 } } })
  })

  it('prints tables for people, the bars first', async () => {
    const { code, out } = await run('--decisions @d --labels @l')
    expect(code).toBe(0)
    expect(out).toMatch(/^Evaluated 22 bookings \(25 requests\): 15 of scalpers, 7 of patients\n\nBars \(rules alone\)/)
    for (const row of [
      /^ {2}scalper bookings intercepted +46\.67 % +at least 70\.00 % +MISSED$/m, /^ {2}each tactic, after its gang's first 10 requests +- +at least 50\.00 % +NOT JUDGED$/m,
      /^ {2}precision +87\.50 % +7 of 8 +52\.91 - 97\.76 %/m, /^ {2}family +25\.00 % +1 of 4 .* 1 +25\.00 % +too few to tell$/m, /^ {2}T4 +58\.33 % +7 of 12 +50\.00 % +1 of 2 /m,
      /^ {2}requests +4 +never$/m, /^ {2}minutes +3 +never$/m, /^ {2}LIMIT_DAY +1 +1$/m, /^ {2}SLOT_HANDOFF +7 +1 +87\.50 %/m, /^ {2}scalper +7 +0 +5 +2 +1$/m,
    ]) expect(out).toMatch(row)
  })

  it('reads .gz, Windows line ends, blank lines and a last line without an end alike', async () => {
    const plain = await run('--decisions @d --labels @l --json')
    await writeFile(join(dir, 'd.gz'), gzipSync(decisionLines(SMALL).join('\n')))
    await put('l.crlf', ['', ...labelLines(SMALL), ''], '\r\n')
    expect(await run('--decisions @d.gz --labels @l.crlf --json')).toEqual(plain)
  })

  it('names bad lines by number, keeps them apart and goes on', async () => {
    const [first = '', ...rest] = decisionLines(SMALL)
    await put('d.bad', [first, '{"event_id":"secret-person', JSON.stringify({ event_id: 'x', order_id: 1, decided_at: 'soon', outcome: 'perhaps', basis: 'mood', reasons: [{}] }), ...rest])
    await put('l.bad', [JSON.stringify({ event_id: 'x', label: 'scalpers', gang: 7 }), '[]', ...labelLines(SMALL)])
    const { code, out, err } = await run('--decisions @d.bad --labels @l.bad --rejects @rejects --json')
    expect(code).toBe(0)
    expect(err.split('\n')).toEqual([
      '@l.bad:1: /label: must be one of scalper, legit; /gang: must be a text', '@l.bad:2: is no JSON object', '@d.bad:2: is no JSON',
      '@d.bad:3: /order_id: must be a text; /decided_at: must be a time; /outcome: must be one of allow, challenge, throttle, hold, deny; /basis: must be one of risk, policy, identity, sanction; /reasons: must be a list of objects with a code', '',
    ])
    expect(JSON.parse(out)).toMatchObject({ bookings: { total: 22 }, input: { bad_lines: { decisions: 2, labels: 2, events: 0 } } })
    const rejects = (await readFile(join(dir, 'rejects'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { line: number; raw: string })
    expect(rejects.map(({ line }) => line)).toEqual([1, 2, 2, 3])
    expect(rejects[2]?.raw).toBe('{"event_id":"secret-person')
    expect((await stat(join(dir, 'rejects'))).mode & 0o777).toBe(0o600)
  })

  it('follows slots through the events, CloudEvents too', async () => {
    const asked = (orderId: string, minute: number): object => ({
      type: 'booking.requested', occurred_at: `2026-11-20T07:0${minute}:00.000+08:00`, order_id: orderId, account: { id: `a-${orderId}` },
      slot: { hospital_id: 'h-1', schedule_id: 's-1', slot_id: 's-1-01' },
    })
    const one = together(order('s', 0, ['hold'], scalper('T1', 'G')), order('p', 5, ['allow'], legit('family')))
    await put('d.slots', decisionLines(one))
    await put('l.slots', labelLines(one))
    await put('e.slots', [
      asked('s', 0), { specversion: '1.0', type: 'x', data: asked('p', 5) }, { type: 'booking.confirmed', order_id: 'p', occurred_at: '2026-11-20T07:06:00.000+08:00' },
      { type: 'slot.queried' }, { type: 'booking.requested' },
    ].map((event) => JSON.stringify(event)))
    const { code, out, err } = await run('--decisions @d.slots --labels @l.slots --events @e.slots --json')
    expect(JSON.parse(out)).toMatchObject({ slots: { kept: 1, confirmed_all_the_same: 0, given_back: 1, taken_by_patients: 1 }, input: { events: 4, bad_lines: { events: 1 } } })
    expect([code, err]).toEqual([0, '@e.slots:5: /order_id: must be a text; /occurred_at: must be a time\n'])
  })

  it('fails when a file is missing, is no .gz, or belongs to other decisions', async () => {
    expect(await run('--decisions @nowhere --labels @l')).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^zhenhao: @nowhere cannot be read: ENOENT/) as string })
    await writeFile(join(dir, 'no.gz'), 'plain words')
    expect(await run('--decisions @d --labels @no.gz')).toMatchObject({ code: 1, err: 'zhenhao: @no.gz cannot be read: incorrect header check\n' })
    await writeFile(join(dir, 'cut.gz'), gzipSync(labelLines(SMALL).join('\n')).subarray(0, 60))
    expect(await run('--decisions @d --labels @cut.gz')).toMatchObject({ code: 1, err: expect.stringContaining('@cut.gz cannot be read') as string })
    await put('l.other', labelLines(order('other', 0, ['allow'], legit())))
    expect(await run('--decisions @d --labels @l.other')).toMatchObject({ code: 1, out: '', err: 'zhenhao: no decision has a label: is this the labels file of these decisions?\n' })
  })

  it('fails, with the rest of the figures, when the input contradicts itself', async () => {
    await put('d.conflict', [...decisionLines(SMALL), ...decisionLines(order('g3-01', 0, ['hold'], legit()))])
    expect(await run('--decisions @d.conflict --labels @l')).toMatchObject({
      code: 1, out: expect.stringContaining('Evaluated 21 bookings') as string, err: 'zhenhao: 1 event_ids have two different decisions, not counted: g3-01.1\n',
    })
  })

  it('fails under --require when a bar is missed or cannot be judged, and is done when all are met', async () => {
    const { code, err } = await run('--decisions @d --labels @l --require --bars model')
    expect(code).toBe(1)
    expect(err).toMatch(/^zhenhao: required, but not met: scalper bookings intercepted; each tactic, /)
    const good = together(
      ...Array.from({ length: 40 }, (_, i) => order(`s${i}`, i, ['hold'], scalper('T1', 'G'))), ...Array.from({ length: 100 }, (_, i) => order(`p${i}`, i, ['allow'], legit('family'))),
    )
    await put('d.good', decisionLines(good))
    await put('l.good', labelLines(good))
    expect(await run('--decisions @d.good --labels @l.good --require --bars model')).toMatchObject({ code: 0, err: '' })
  })

  it('writes a page that says the same and needs nothing from elsewhere', async () => {
    expect((await run('--decisions @d --labels @l --page @report.html')).code).toBe(0)
    const page = await readFile(join(dir, 'report.html'), 'utf8')
    expect(page).toContain('46.67 %')
    expect(page).not.toMatch(/<script|<link|@import|url\(|https?:/)
  })

  it.each([
    ['--decisions @d', '--labels'], ['--labels @l', '--decisions'], ['--decisions @d --labels @d', 'named twice'], ['--decisions @d --labels @l --page @d', 'named twice'],
    ['--decisions - --labels @l', 'name of a file'], ['--decisions @d --labels @l --bars best', 'Allowed choices are rules, model'],
  ])('refuses with exit code 2: %s', async (line, words) => {
    const { code, err } = await run(line)
    expect(code).toBe(2)
    expect(err).toContain(words)
  })
})
