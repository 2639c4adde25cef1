import { setImmediate as nextTurn } from 'node:timers/promises'

/** One row of ClickHouse's TabSeparated format, in pieces to be written one after the other. */
export type Row = readonly Uint8Array[]

export const TAB = Buffer.from('\t')
export const END = Buffer.from('\n')
/** Stands for NULL. */
export const NULL = Buffer.from('\\N')

const BACKSLASH = 0x5c

/**
 * A line of JSON as a field. Tabs and line ends cannot stand raw in it, so only backslashes need doubling; nearly always there
 * are none, and the bytes are taken as they are.
 */
export const jsonField = (line: Buffer): Buffer =>
  line.includes(BACKSLASH) ? Buffer.from(line.toString('latin1').replaceAll('\\', '\\\\'), 'latin1') : line

const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r', '\0': '\\0' }

/** A row of plain values, whatever they hold. */
export const textRow = (values: readonly (string | number | null)[]): Row => [Buffer.from(values.map(textField).join('\t')), END]

const textField = (value: string | number | null): string =>
  value === null ? '\\N' : String(value).replace(/[\\\t\n\r\0]/g, (char) => ESCAPED[char] ?? char)

/** Each well under a millisecond of work on the event loop, and a few times that when memory is cold. */
const [ROWS_PER_TURN, BYTES_PER_TURN] = [100, 1 << 19]

/** All rows in one buffer, after an `opening`. The event loop gets its turn in between; throws when `signal` aborts. */
export async function pack<T>(items: readonly T[], toRow: (item: T) => Row, opening: Uint8Array, signal: AbortSignal): Promise<Buffer> {
  const pieces: Uint8Array[] = [opening]
  for (const [index, item] of items.entries()) {
    if (index % ROWS_PER_TURN === 0) await turn(signal)
    pieces.push(...toRow(item))
  }
  const packed = Buffer.allocUnsafe(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0, turnAt = BYTES_PER_TURN
  for (const piece of pieces) {
    packed.set(piece, at)
    at += piece.length
    if (at < turnAt) continue
    await turn(signal)
    turnAt = at + BYTES_PER_TURN
  }
  return packed
}

async function turn(signal: AbortSignal): Promise<void> {
  await nextTurn()
  signal.throwIfAborted()
}
