import { fork } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { judge, renderRow, type BenchOptions, type RowResult } from './figures.js'

/** In order: what needs a quiet machine first. `reference` goes before each of them. */
const ROWS = ['context', 'engine', 'api', 'history', 'start', 'shared-stream', 'shared-api', 'release-second', 'redis-state', 'workers']

const { values } = parseArgs({ options: {
  json: { type: 'boolean', default: false }, only: { type: 'string', multiple: true }, quick: { type: 'boolean', default: false },
  seconds: { type: 'string' }, profile: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
} })

if (values.help) {
  process.stdout.write(`npm run bench -- [--only ${ROWS.join('|')}]... [--seconds N] [--quick] [--profile] [--json]\n`)
} else {
  const rows = values.only ?? ROWS
  const unknown = rows.filter((row) => !ROWS.includes(row))
  if (unknown.length > 0) throw new Error(`there is no row ${unknown.join(', ')}; there are: ${ROWS.join(', ')}`)
  const seconds = Number(values.seconds ?? (values.quick ? 2 : 6))
  if (!(seconds > 0)) throw new Error('--seconds takes a number above zero')
  const options: BenchOptions = { seconds, quick: values.quick, ...(values.profile ? { profileDir: profileDir() } : {}) }
  const results = await runRows(rows, options)
  if (values.json) process.stdout.write(`${JSON.stringify({ at: new Date().toISOString(), node: process.version, options, rows: results.map(withVerdicts) }, null, 2)}\n`)
}

async function runRows(rows: readonly string[], options: BenchOptions): Promise<RowResult[]> {
  const results = [await runRow('reference', options)]
  const [perSecond, perCpuSecond] = results[0]?.figures ?? []
  const fastify = { perSecond: perSecond?.value ?? NaN, perCpuSecond: perCpuSecond?.value ?? NaN }
  for (const row of rows) results.push(await runRow(row, { ...options, fastify }))
  return results
}

/** A fault in a row ends the bench: a table with holes would be read as a good one. */
async function runRow(row: string, options: BenchOptions): Promise<RowResult> {
  if (values.json) process.stderr.write(`${row} ...\n`)
  const child = fork(join(import.meta.dirname, 'child.js'), [row, JSON.stringify(options)], { execArgv: ['--expose-gc', '--max-old-space-size=6144'] })
  const result = await new Promise<RowResult>((resolve, reject) => {
    child.once('message', (message) => { resolve(message as RowResult) })
    child.once('exit', (code) => { reject(new Error(`row ${row} ended with ${String(code)} and no result`)) })
  })
  if (!values.json) process.stdout.write(`${renderRow(result)}\n`)
  return result
}

function withVerdicts(result: RowResult): unknown {
  return { ...result, figures: result.figures.map((figure) => ({ ...figure, verdict: judge(figure) })) }
}

function profileDir(): string {
  const dir = join(process.cwd(), 'data', 'profiles')
  mkdirSync(dir, { recursive: true })
  return dir
}
