import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openFileJournal } from '../../src/adapters/file/journal.js'
import { readAll } from '../contract/suites/journal.js'
import { SEGMENT_BYTES } from '../support/journal-child.js'
import { anEntry, bare, range } from '../support/journal-entries.js'
import { transpileTo } from '../support/transpiled.js'

const ROUNDS = 20
/** Every fifth round is ended while it may still be opening what the last one left behind. */
const EARLY_EVERY = 5

describe('a journal whose process is killed while it writes', () => {
  let root = ''
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'journal-crash-'))
    await transpileTo(join(root, 'code'), ['src/adapters/file', 'src/domain/hash.ts', 'src/domain/decision.ts', 'src/domain/record.ts', 'src/domain/record-tail.ts', 'test/support/journal-child.ts', 'test/support/journal-entries.ts'])
  })
  afterAll(() => rm(root, { recursive: true }))

  /** Starts a writer, kills it after about `afterMs`; the highest position it said was durable, 0 when it said none. */
  async function writeUntilKilled(dir: string, early: boolean, afterMs: number): Promise<number> {
    const url = pathToFileURL(join(root, 'code/test/support/journal-child.js')).href
    const child = spawn(process.execPath, ['--input-type=module', '-e', `(await import('${url}')).main(${JSON.stringify([dir])})`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => { said += bytes.toString() })
    if (!early) await once(child.stdout, 'data')
    await sleep(afterMs)
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(child.signalCode).toBe('SIGKILL')
    // A last line without its end was cut off in the pipe.
    return Math.max(0, ...said.split('\n').slice(0, -1).map(Number))
  }

  it(`has every acknowledged record once, as it was, after each of ${ROUNDS} kills`, async () => {
    const dir = join(root, 'data')
    let acknowledged = 0
    for (let round = 1; round <= ROUNDS; round++) {
      const said = await writeUntilKilled(dir, round % EARLY_EVERY === 0, Math.random() * 120)
      acknowledged = Math.max(acknowledged, said)
      const elsewhere: string[] = []
      const journal = await openFileJournal({ dir, segmentBytes: SEGMENT_BYTES, tailRecords: 16, older: (id) => { elsewhere.push(id); return Promise.resolve(undefined) } })
      expect(journal.durableSeq).toBeGreaterThanOrEqual(acknowledged)
      const there = range(journal.firstSeq, journal.durableSeq)
      expect(await readAll(journal)).toEqual(there.map((seq) => ({ seq, ...anEntry(seq) })))
      for (const seq of there.filter((n) => n % 13 === 0 || n > journal.durableSeq - 50)) expect(bare(await journal.find(`e-${seq}`))).toEqual({ seq, ...anEntry(seq) })
      // What was retired is still known by its id.
      for (const seq of range(1, journal.firstSeq - 1)) await journal.find(`e-${seq}`)
      expect(elsewhere).toHaveLength(journal.firstSeq - 1)
      expect(journal.find(`e-${journal.durableSeq + 1}`)).toBeUndefined()
      acknowledged = journal.durableSeq
      await journal.close()
    }
    expect(acknowledged).toBeGreaterThan(ROUNDS * 20)
  }, 180_000)
})
