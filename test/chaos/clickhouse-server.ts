import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/process.js'
import { transpileTo } from '../support/transpiled.js'
import type { Part } from './part.js'

export interface ClickHouseServer extends Part {
  url: string
  /** The answer to a query, as TSV. */
  ask(sql: string): Promise<string>
}

const CHILD = 'test/chaos/clickhouse-child'
const READY_WITHIN_MS = 60_000
const root = resolve(import.meta.dirname, '../..')

/** The real engine behind ClickHouse's HTTP interface, in a process of its own. */
export async function startClickHouseServer(): Promise<ClickHouseServer> {
  const dir = await mkdtemp(join(tmpdir(), 'zhenhao-chaos-ch-'))
  // Run as TypeScript there is no compiled child beside this file; in the cache it still finds the packages.
  const isCompiled = import.meta.filename.endsWith('.js')
  const code = isCompiled ? root : join(root, 'node_modules/.cache/zhenhao', `clickhouse-${process.pid}`)
  if (!isCompiled) await transpileTo(code, [`${CHILD}.ts`, 'test/support/clickhouse-http.ts'])
  const password = randomBytes(12).toString('hex')
  const port = await freePort()
  const url = `http://zhenhao:${password}@127.0.0.1:${port}`
  let child: ChildProcess | undefined
  const onExit = (): void => { child?.kill('SIGKILL') }
  process.once('exit', onExit)

  const hasEnded = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null
  async function kill(): Promise<void> {
    if (hasEnded()) return
    child?.kill('SIGKILL')
    if (child) await once(child, 'exit')
  }
  async function start(): Promise<void> {
    for (const deadline = Date.now() + READY_WITHIN_MS; ;) {
      if (hasEnded()) child = spawn(process.execPath, [join(code, `${CHILD}.js`), join(dir, 'store'), password, port], { stdio: ['ignore', 'ignore', 'inherit'] })
      if (await fetch(`http://127.0.0.1:${port}/ping`).then(({ ok }) => ok, () => false)) return
      if (Date.now() > deadline) throw new Error('ClickHouse did not start')
      await sleep(50)
    }
  }

  await start()
  return {
    url, start, kill,
    async ask(sql) {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: sql, headers: { 'x-clickhouse-user': 'zhenhao', 'x-clickhouse-key': password } })
      if (!answer.ok) throw new Error(`ClickHouse: ${await answer.text()}`)
      return answer.text()
    },
    async stop() {
      await kill()
      process.off('exit', onExit)
      await Promise.all([rm(dir, { recursive: true, force: true }), ...(isCompiled ? [] : [rm(code, { recursive: true, force: true })])])
    },
  }
}
