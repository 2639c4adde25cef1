import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { createTokeniser } from '../../../src/scoring/tokenise.js'
import { quantile, type BenchOptions, type RowResult } from '../figures.js'
import { scratchDir } from '../processes.js'

/** What the machine gives: the disk's word that bytes are safe, and the price of a keyed hash. No bars. */
export async function run({ quick }: BenchOptions): Promise<RowResult> {
  const syncs = await syncTimes(quick ? 50 : 300)
  const { token, bodyHash } = await createTokeniser(randomBytes(32))
  const body = 'x'.repeat(900)
  return {
    row: 'context', title: 'the machine', figures: [
      { what: 'fdatasync of 4 KiB, p50', value: quantile(syncs, 0.5), unit: 'ms' },
      { what: 'fdatasync of 4 KiB, p99', value: quantile(syncs, 0.99), unit: 'ms' },
      { what: 'token of 18 characters', value: eachUs((i) => token('patient', `11010119900307${1000 + i % 9000}`)), unit: 'us' },
      { what: 'hash of a 0.9 KB body', value: eachUs(() => bodyHash(body)), unit: 'us' },
    ],
    notes: [`${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`],
  }
}

async function syncTimes(count: number): Promise<Float64Array> {
  const dir = scratchDir()
  const file = await open(join(dir.path, 'sync'), 'a')
  const bytes = randomBytes(4096), took = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    await file.appendFile(bytes)
    const before = performance.now()
    await file.datasync()
    took[i] = performance.now() - before
  }
  await file.close()
  dir.close()
  return took
}

function eachUs(work: (i: number) => unknown, times = 50_000): number {
  for (let i = 0; i < times / 5; i++) work(i)
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) work(i)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}
