import { createHash } from 'node:crypto'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isNode, LineCounter, parseDocument } from 'yaml'
import type { FieldError } from '../domain/event.js'
import type { FileProblem } from './counters.js'

/** A parsed file of rules/ that still knows where everything stands. */
export interface YamlFile {
  value: unknown
  problems: FileProblem[]
  /** Words about the value at a path (keys and indexes), with its line, or the nearest line above it. */
  problem: (path: readonly (string | number)[], message: string) => FileProblem
}

/** Parses one YAML file. Syntax errors, duplicate keys and alias bombs come back as problems, never as exceptions. */
export function readYaml(file: string, text: string): YamlFile {
  const lines = new LineCounter()
  const doc = parseDocument(text, { lineCounter: lines })
  const problems = doc.errors.map((e) => ({ file, line: lines.linePos(e.pos[0]).line, message: e.message.split('\n')[0] ?? '' }))
  const problem: YamlFile['problem'] = (path, message) => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = doc.getIn(path.slice(0, depth), true)
      if (isNode(node) && node.range) return { file, line: lines.linePos(node.range[0]).line, message }
    }
    return { file, line: 1, message }
  }
  if (problems.length > 0) return { value: undefined, problems, problem }
  try {
    return { value: doc.toJS() as unknown, problems, problem }
  } catch (error) {
    return { value: undefined, problems: [{ file, line: 1, message: error instanceof Error ? error.message : String(error) }], problem }
  }
}

/** TypeBox's words for what has no expected value to name. */
const PLAIN: Readonly<Record<string, string>> = { 'Unexpected property': 'unknown field', 'Expected required property': 'is missing' }

/**
 * Where a value differs from its schema, one error per place. A schema's `description` says what is expected there.
 */
export function shapeErrors(schema: TSchema, value: unknown): FieldError[] {
  const found = new Map<string, string>()
  for (const error of Value.Errors(schema, value)) {
    if (found.has(error.path)) continue
    const expected = error.schema.description ? `expected ${error.schema.description}` : error.message
    found.set(error.path, PLAIN[error.message] ?? expected)
  }
  return [...found].map(([path, message]) => ({ path, message }))
}

/** `/rules/0/when` -> ['rules', 0, 'when'], undoing the escapes of JSON pointers. */
export function pathOf(pointer: string): (string | number)[] {
  const parts = pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  return parts.map((part) => /^\d+$/.test(part) ? Number(part) : part)
}

/** Canonical JSON for hashing: keys sorted, whatever order a file has them in. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => a < b ? -1 : 1)) : v)
}

/** First 12 hex digits of SHA-256: short enough to read out, long enough to tell versions apart. */
export const shortHash = (content: string): string => createHash('sha256').update(content).digest('hex').slice(0, 12)
