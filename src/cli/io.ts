/** Where a command writes. `process` has the right shape; tests collect the text. */
export interface Io { readonly stdout: Sink; readonly stderr: Sink; /** Whether stderr is a terminal. */ readonly isTTY: boolean }

export interface Sink { write(text: string): unknown; readonly columns?: number }

/** CONTRACT section 4. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** One line of JSON on stdout. */
export const writeJson = (io: Io, value: unknown): void => { io.stdout.write(`${JSON.stringify(value)}\n`) }

/** Rows as aligned columns, each line with its line end. The last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => { widths[i] = Math.max(widths[i] ?? 0, cell.length) })
  return rows.map((row) => `${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

/** 12345.6 -> 12,346. */
export const grouped = (count: number): string => Math.round(count).toLocaleString('en-US')

/** An error's message and those of its causes, without the stack. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.message === '' ? error.name : error.message
  const why = error.cause === undefined ? '' : wordsOf(error.cause)
  // Some drivers quote the cause in their own message.
  return own.includes(why) ? own : `${own}: ${why}`
}

/** Clears the line that a progress display may stand on; nothing where there is none. */
export const freshLine = (io: Io): string => io.isTTY ? '\r\u001b[2K' : ''
