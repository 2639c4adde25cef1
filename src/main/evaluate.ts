import { createReadStream } from 'node:fs'
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { PassThrough, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { writeEvaluation, type EvaluateOptions } from '../cli/evaluate.js'
import type { ExitCode, Io } from '../cli/io.js'
import { createProgress, type Progress } from '../cli/progress.js'
import { createRejectReport } from '../cli/replay.js'
import { evaluate as measure } from '../learn/evaluate/evaluate.js'
import { readDecision, readEvent, readLabel, type Read } from '../learn/evaluate/input.js'
import { pageOf } from '../learn/evaluate/page.js'
import type { FieldError } from '../domain/event.js'

type BadLine = (line: number, errors: readonly FieldError[], raw: string) => Promise<void>

/** Reads the files as streams, measures, and writes what was asked for. Rejects when a file cannot be read or written. */
export async function evaluate(io: Io, options: EvaluateOptions): Promise<ExitCode> {
  const report = createRejectReport(io)
  const progress = createProgress(io, Date.now, { label: 'evaluate', unit: 'lines' })
  const onLine = counting(progress)
  const badLines: Record<string, number> = { decisions: 0, labels: 0, events: 0 }
  const rejects = options.rejects === undefined ? undefined : await open(options.rejects, 'w', 0o600)
  const read = <T>(name: 'decisions' | 'labels' | 'events', file: string, reader: (value: unknown) => Read<T>): AsyncIterable<T> =>
    readNdjson(file, reader, onLine, async (line, errors, raw) => {
      badLines[name] = (badLines[name] ?? 0) + 1
      report(file, line, errors)
      await keep(rejects, { file, line, errors, raw })
    })
  try {
    const { decisions, labels, events } = options
    const result = await measure({
      labels: read('labels', labels, readLabel), decisions: read('decisions', decisions, readDecision),
      ...(events !== undefined && { events: read('events', events, readEvent) }),
    }, options.bars)
    progress.finish()
    if (options.page !== undefined) await writeFile(options.page, pageOf(result))
    return writeEvaluation(io, result, badLines, options)
  } finally {
    await rejects?.close()
  }
}

const keep = async (rejects: FileHandle | undefined, line: unknown): Promise<void> => { await rejects?.write(`${JSON.stringify(line)}\n`) }

function counting(progress: Progress): () => void {
  let lines = 0
  return () => { progress.update(++lines) }
}

/** The good lines of a file, `.gz` or plain; blank ones are skipped. `line` counts from 1. */
async function* readNdjson<T>(file: string, reader: (value: unknown) => Read<T>, onLine: () => void, onBad: BadLine): AsyncGenerator<T> {
  let line = 0
  for await (const raw of linesOf(file)) {
    line++
    onLine()
    if (raw.trim() === '') continue
    const read = parse(raw, reader)
    if (read.ok) yield read.value
    else await onBad(line, read.errors, raw)
  }
}

function parse<T>(raw: string, reader: (value: unknown) => Read<T>): Read<T> {
  try {
    return reader(JSON.parse(raw))
  } catch (fault) {
    if (!(fault instanceof SyntaxError)) throw fault
    // The parser's own words quote the line, and with it perhaps a person.
    return { ok: false, errors: [{ path: '', message: 'is no JSON' }] }
  }
}

async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const chunk of contentOf(file) as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch (fault) {
    throw new Error(`${file} cannot be read`, { cause: fault })
  }
  if (rest !== '') yield rest
}

function contentOf(file: string): Readable {
  const content = new PassThrough()
  const isZipped = file.endsWith('.gz')
  // A fault anywhere on the way reaches the reader through `content`, which the pipeline destroys.
  const flow = isZipped ? pipeline(createReadStream(file), createGunzip(), content) : pipeline(createReadStream(file), content)
  flow.catch(() => undefined)
  return content.setEncoding('utf8')
}
