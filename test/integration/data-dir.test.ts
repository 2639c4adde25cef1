import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { DataDirTaken, holderOf, sameAsEver, secretFile, takeDataDir } from '../../src/adapters/file/data-dir.js'
import { openPositions } from '../../src/adapters/file/positions.js'
import { transpileTo } from '../support/transpiled.js'

let root = ''
let dirs = 0
const freshDir = (): string => join(root, String(++dirs))
const children: ChildProcess[] = []
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'data-dir-'))
  await transpileTo(join(root, 'code'), ['src/adapters/file/data-dir.ts', 'src/adapters/file/durable-file.ts'])
})
afterEach(() => { for (const child of children.splice(0)) child.kill('SIGKILL') })
afterAll(() => rm(root, { recursive: true }))

/** Another node process that tries to take `dir`, says `taken` or `refused PID`, and stays. */
async function otherProcess(dir: string): Promise<{ child: ChildProcess; said: string }> {
  const url = pathToFileURL(join(root, 'code/src/adapters/file/data-dir.js')).href
  const code = `const { takeDataDir } = await import('${url}')
    await takeDataDir(${JSON.stringify(dir)}).then(() => console.log('taken'), (fault) => console.log('refused', fault.holder?.pid ?? fault.message))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = await once(child.stdout, 'data') as [Buffer]
  return { child, said: line.toString().trim() }
}
async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('a data directory', () => {
  it('is made when missing, for this user only, and belongs to one process at a time', async () => {
    const dir = freshDir()
    const { child, said } = await otherProcess(dir)
    expect(said).toBe('taken')
    expect((await stat(dir)).mode & 0o777).toBe(0o700)
    await expect(takeDataDir(dir)).rejects.toMatchObject({ holder: { pid: child.pid } })
    await expect(takeDataDir(dir)).rejects.toBeInstanceOf(DataDirTaken)
    expect(await holderOf(dir)).toMatchObject({ pid: child.pid })
  })

  it('cannot be taken twice by the same process either', async () => {
    const dir = freshDir()
    const data = await takeDataDir(dir)
    await expect(takeDataDir(dir)).rejects.toBeInstanceOf(DataDirTaken)
    await data.release()
    await (await takeDataDir(dir)).release()
  })

  it('is taken over, without hands, from a process that was killed', async () => {
    const dir = freshDir()
    const { child } = await otherProcess(dir)
    await kill(child)
    expect(await holderOf(dir)).toBeUndefined()
    const data = await takeDataDir(dir)
    expect(await readdir(dir)).toEqual(['process.json'])
    await data.release()
    expect(await readdir(dir)).toEqual([])
  })

  it('is taken over from a lock whose pid now belongs to another program', async () => {
    const dir = freshDir()
    const { child } = await otherProcess(freshDir())
    await (await takeDataDir(dir)).release()
    await writeFile(join(dir, 'process.json'), JSON.stringify({ pid: child.pid, born: '1' }))
    await (await takeDataDir(dir)).release()
  })

  it.each(['', '{"pid":', 'null'])('is taken over from a lock that a crash left as %j', async (left) => {
    const dir = freshDir()
    await (await takeDataDir(dir)).release()
    await writeFile(join(dir, 'process.json'), left)
    await (await takeDataDir(dir)).release()
  })

  it('goes to exactly one of several that start at once, over a stale lock too', async () => {
    for (const stale of [false, true]) {
      const dir = freshDir()
      if (stale) await kill((await otherProcess(dir)).child)
      const starts = await Promise.all(Array.from({ length: 5 }, () => otherProcess(dir)))
      const winners = starts.filter(({ said }) => said === 'taken')
      expect(winners).toHaveLength(1)
      for (const { said } of starts) if (said !== 'taken') expect(said).toBe(`refused ${winners[0]?.child.pid ?? 0}`)
    }
  }, 60_000)

  it('tells other commands where the server listens, in a file that only this user can read', async () => {
    const dir = freshDir()
    const data = await takeDataDir(dir)
    await data.announce({ url: 'http://127.0.0.1:1', controlKey: 'k', databaseUrl: undefined })
    expect(await holderOf(dir)).toMatchObject({ pid: process.pid, url: 'http://127.0.0.1:1', controlKey: 'k' })
    expect((await stat(join(dir, 'process.json'))).mode & 0o777).toBe(0o600)
    await data.release()
  })

  it('is not released by somebody who has lost it', async () => {
    const dir = freshDir()
    const data = await takeDataDir(dir)
    const other = JSON.stringify({ pid: 1, born: '0' })
    await writeFile(join(dir, 'process.json'), other)
    await data.release()
    expect(await readFile(join(dir, 'process.json'), 'utf8')).toBe(other)
  })
})

describe('a secret file', () => {
  it('is made once, for this user only, and read from then on', async () => {
    const dir = freshDir()
    await (await takeDataDir(dir)).release()
    const path = join(dir, 'token-key')
    const secret = await secretFile(path)
    expect([secret.length, (await stat(path)).mode & 0o777]).toEqual([32, 0o600])
    expect(await secretFile(path)).toEqual(secret)
    expect(await readdir(dir)).toEqual(['token-key'])
  })

  it.each(['', 'abc', `${'0'.repeat(63)}g`, '0'.repeat(66)])('that holds %j is an error that names the file and not what is in it', async (text) => {
    const path = join(root, `secret-${++dirs}`)
    await writeFile(path, text)
    const fault = await secretFile(path).catch((f: unknown) => f as Error)
    expect(String(fault)).toContain(`${path} does not hold 32 bytes in hex`)
    if (text !== '') expect(String(fault)).not.toContain(text)
  })
})

describe('a fingerprint', () => {
  it('is kept from the first time on, and another one is told', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'zhenhao-fingerprint-')), 'fingerprint')
    expect(await sameAsEver(path, 'one')).toBe(true)
    expect(await sameAsEver(path, 'one')).toBe(true)
    expect(await sameAsEver(path, 'other')).toBe(false)
    expect(await sameAsEver(path, 'one')).toBe(true)
  })
})

describe('positions', () => {
  const at = (done: number) => ({ done, intent: { from: done + 1, to: done + 10 } })
  async function saved(dir: string, positions: readonly { done: number }[]): Promise<void> {
    const store = await openPositions(dir)
    for (const position of positions) await store.save('history', position)
    await store.close()
  }
  async function loaded(dir: string, reader = 'history'): Promise<unknown> {
    const store = await openPositions(dir)
    try { return await store.load(reader) } finally { await store.close() }
  }

  it('begin at 0 and are what was saved last, each reader for itself', async () => {
    const dir = freshDir()
    expect(await loaded(dir)).toEqual({ done: 0 })
    await saved(dir, [at(1), at(2), { done: 3 }])
    expect([await loaded(dir), await loaded(dir, 'decisions')]).toEqual([{ done: 3 }, { done: 0 }])
    await saved(dir, [at(Number.MAX_SAFE_INTEGER - 20)])
    expect(await loaded(dir)).toEqual(at(Number.MAX_SAFE_INTEGER - 20))
  })

  it('fall back to the save before when the last one is damaged: work is repeated, never lost', async () => {
    const dir = freshDir()
    await saved(dir, [at(1), at(2)])
    const path = join(dir, 'history.positions')
    const text = await readFile(path, 'utf8')
    for (const damage of ['"done":5', '"done": ', '"done":x']) {
      await writeFile(path, text.replace('"done":2', damage))
      expect(await loaded(dir)).toEqual(at(1))
    }
    await writeFile(path, text.slice(0, 60))
    expect(await loaded(dir)).toEqual(at(2))
  })

  it('that are damaged as a whole are an error that names the file and says what to do', async () => {
    const dir = freshDir()
    await saved(dir, [at(1), at(2)])
    const path = join(dir, 'history.positions')
    await writeFile(path, (await readFile(path, 'utf8')).replaceAll('done', 'dona'))
    await expect(loaded(dir)).rejects.toThrow(`${path} is damaged; delete it`)
  })
})
