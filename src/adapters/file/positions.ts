import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Position, PositionStore } from '../../ports/journal.js'

/** Positions as small files, replaced whole: a crash leaves the old or the new one, and an old one only repeats work. */
export async function openPositions(dir: string): Promise<PositionStore> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  return {
    async load(reader) {
      const text = await readFile(join(dir, `${reader}.json`), 'utf8').catch((fault: unknown) => {
        if ((fault as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw fault
      })
      return text === undefined ? { done: 0 } : JSON.parse(text) as Position
    },
    async save(reader, position) {
      const path = join(dir, `${reader}.json`)
      await writeFile(`${path}.new`, JSON.stringify(position), { mode: 0o600 })
      await rename(`${path}.new`, path)
    },
  }
}
