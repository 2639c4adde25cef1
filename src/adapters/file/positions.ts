import { constants } from 'node:fs'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Position, PositionStore } from '../../ports/journal.js'
import { syncDirectory } from './durable-file.js'

/** A position is one line of this many bytes: its checksum, the number of the save, the position as JSON. */
const LINE_BYTES = 128
/** Saves take turns: whatever a crash does to the newer line, the older one stands, and an old position only repeats work. */
const LINES = 2

interface Open { handle: FileHandle; saves: number; position: Position }

/** Positions as small files that are written in place, without a sync: cheap enough for a thousand times a second. */
export async function openPositions(dir: string): Promise<PositionStore & { close(): Promise<void> }> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const opened = new Map<string, Promise<Open>>()
  const openOnce = (reader: string): Promise<Open> => {
    const known = opened.get(reader) ?? openReader(dir, reader)
    opened.set(reader, known)
    return known
  }
  return {
    async load(reader) { return (await openOnce(reader)).position },
    async save(reader, position) {
      const file = await openOnce(reader)
      const saves = ++file.saves
      const line = encode(saves, position)
      await file.handle.write(line, 0, LINE_BYTES, (saves % LINES) * LINE_BYTES)
      file.position = position
    },
    async close() {
      for (const file of opened.values()) await (await file).handle.close()
      opened.clear()
    },
  }
}

async function openReader(dir: string, reader: string): Promise<Open> {
  const path = join(dir, `${reader}.positions`)
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  const text = await handle.readFile('utf8')
  if (text.trim() === '') {
    await handle.write(' '.repeat(LINE_BYTES * LINES), 0)
    await handle.sync()
    await syncDirectory(dir)
    return { handle, saves: 0, position: { done: 0 } }
  }
  const lines = Array.from({ length: LINES }, (_, i) => decode(text.slice(i * LINE_BYTES, (i + 1) * LINE_BYTES)))
  const newest = lines.reduce((a, b) => (b && (!a || b.saves > a.saves) ? b : a))
  if (newest) return { handle, ...newest }
  await handle.close()
  throw new Error(`${path} is damaged; delete it to let its reader begin again with the oldest record of the journal`)
}

function encode(saves: number, position: Position): Buffer {
  const content = `${saves} ${JSON.stringify(position)}`
  const line = Buffer.from(`${checksum(content)} ${content}`.padEnd(LINE_BYTES - 1) + '\n')
  if (line.length !== LINE_BYTES) throw new RangeError(`a position of ${line.length} bytes does not fit into ${LINE_BYTES}`)
  return line
}

function decode(line: string): { saves: number; position: Position } | undefined {
  const [, sum, content] = /^([0-9a-f]{8}) (.+\})\s*$/.exec(line) ?? []
  if (sum === undefined || content === undefined || checksum(content) !== sum) return undefined
  const gap = content.indexOf(' ')
  return { saves: Number(content.slice(0, gap)), position: JSON.parse(content.slice(gap + 1)) as Position }
}

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0')
