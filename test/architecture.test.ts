import { readFileSync, readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, normalize, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

/** Which rooms a room may import (ARCHITECTURE.md). A room that is not here may not exist. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | 'everything'>> = {
  main: 'everything',
  config: ['scoring', 'domain'],
  api: ['pipeline', 'cases', 'reports', 'learn', 'scoring', 'ports', 'domain'],
  cli: ['pipeline', 'cases', 'reports', 'learn', 'scoring', 'ports', 'domain'],
  pipeline: ['scoring', 'ports', 'domain'],
  cases: ['scoring', 'ports', 'domain'],
  reports: ['scoring', 'ports', 'domain'],
  learn: ['pipeline', 'scoring', 'ports', 'domain'],
  simulate: ['domain'],
  adapters: ['ports', 'domain'],
  scoring: ['domain'],
  ports: ['domain'],
  domain: [],
}
/** Nouns and interfaces: no vendor, not even a module of Node. */
const PURE = ['ports', 'domain']
const MAX_LINES = 350

/** A file of src/, its path written with `/` and relative to src. */
interface Source { path: string; text: string }

/** `adapters/kafka/topics.ts` -> `adapters/kafka`; `main.ts` and `main/wire.ts` -> `main`; `api/routes/score.ts` -> `api`. */
function roomOf(path: string): string {
  const [first = '', second = ''] = path.replace(/\.ts$/, '').split('/')
  return first === 'adapters' ? `${first}/${second}` : first
}
const kindOf = (room: string): string => room.split('/')[0] ?? room

/** Every breach of the house rules, as sentences that begin with the file. */
function breaches(sources: readonly Source[]): string[] {
  const vendorRooms = new Map<string, Set<string>>()
  const found = sources.flatMap((source) => {
    const room = roomOf(source.path)
    if (!(kindOf(room) in MAY_IMPORT)) return [`${source.path} is in '${room}', which is no room of the house`]
    const imports = importsOf(source.text)
    for (const name of imports.flatMap(vendorOf)) vendorRooms.set(name, (vendorRooms.get(name) ?? new Set()).add(room))
    return [
      ...imports.flatMap((specifier) => importBreach(source.path, room, specifier)),
      ...wordBreaches(source, room),
      ...(lineCount(source.text) > MAX_LINES ? [`${source.path} has ${lineCount(source.text)} lines, more than ${MAX_LINES}`] : []),
    ]
  })
  const shared = [...vendorRooms].filter(([, rooms]) => rooms.size > 1)
    .map(([name, rooms]) => `${name} is named in more than one room: ${[...rooms].sort().join(', ')}`)
  return [...found, ...shared]
}

const lineCount = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0)

/** All specifiers: import, export from, import(), import types and require. */
const importsOf = (text: string): string[] => [...new Set(ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName))]

/** The package a specifier names; none for a relative path or a module of Node. */
function vendorOf(specifier: string): string[] {
  if (specifier.startsWith('.') || specifier.startsWith('node:') || builtinModules.includes(specifier)) return []
  return [specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')]
}

function importBreach(path: string, room: string, specifier: string): string[] {
  const words = `${path} imports ${specifier}`
  if (!specifier.startsWith('.')) return PURE.includes(kindOf(room)) ? [`${words}, but ${kindOf(room)} uses nothing from outside`] : []
  const target = normalize(join(dirname(path), specifier)).split(sep).join('/')
  if (target.startsWith('..')) return [`${words}, which is outside src`]
  const other = roomOf(target.replace(/\.js$/, '.ts'))
  const allowed = MAY_IMPORT[kindOf(room)] ?? []
  return other === room || allowed === 'everything' || allowed.includes(other) ? [] : [`${words}: ${room} may not import ${other}`]
}

/** What only some rooms may name; each rule looks at one node of the syntax tree. */
const WORDS: readonly { what: string; rooms: readonly string[]; finds: (node: ts.Node) => boolean }[] = [
  { what: 'the environment', rooms: ['config'], finds: (node) => isMember(node, 'process', 'env') || isWhole(node, 'process') || namesImport(node, 'env') },
  {
    what: 'the clock', rooms: ['main', 'adapters'],
    finds: (node) => isMember(node, 'Date', 'now') || isWhole(node, 'Date') || isNowDate(node) || isName(node, 'performance')
      || isMember(node, 'process', 'hrtime') || isMember(node, 'process', 'uptime'),
  },
  {
    what: 'chance', rooms: ['main', 'adapters'],
    finds: (node) => isMember(node, 'Math', 'random') || isWhole(node, 'Math')
      || ['randomUUID', 'randomBytes', 'randomInt', 'randomFill', 'randomFillSync', 'getRandomValues', 'webcrypto'].some((name) => isName(node, name)),
  },
  { what: 'any', rooms: [], finds: (node) => node.kind === ts.SyntaxKind.AnyKeyword },
]

function wordBreaches({ path, text }: Source, room: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true)
  const rules = WORDS.filter(({ rooms }) => !rooms.includes(kindOf(room)))
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const line = (): number => file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1
    for (const { what, finds } of rules) if (finds(node)) found.push(`${path}:${line()} uses ${what}`)
    ts.forEachChild(node, visit)
  }
  visit(file)
  text.split('\n').forEach((line, i) => {
    if (/@ts-(ignore|expect-error|nocheck)|eslint-disable/.test(line)) found.push(`${path}:${i + 1} switches a check off`)
  })
  return found
}

const isName = (node: ts.Node, name: string): boolean => ts.isIdentifier(node) && node.text === name
/** `object.member`, also with `?.` or `['member']`, also through globalThis. */
function isMember(node: ts.Node, object: string, member: string): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.name.text === member && isOf(node.expression, object)
  return ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)
    && node.argumentExpression.text === member && isOf(node.expression, object)
}
const isOf = (node: ts.Expression, object: string): boolean => isName(node, object) || (ts.isPropertyAccessExpression(node) && node.name.text === object)
/** The object as a value of its own (`const { env } = process`, `f(Date)`): anything could be done with it there. */
const isWhole = (node: ts.Node, object: string): boolean =>
  (ts.isVariableDeclaration(node) && node.initializer !== undefined && isName(node.initializer, object))
  || (ts.isCallExpression(node) && node.arguments.some((argument) => isName(argument, object)))
/** `new Date()`, and `Date()` whatever its arguments. */
const isNowDate = (node: ts.Node): boolean => ts.isCallExpression(node) ? isName(node.expression, 'Date')
  : ts.isNewExpression(node) && isName(node.expression, 'Date') && (node.arguments === undefined || node.arguments.length === 0)
const namesImport = (node: ts.Node, name: string): boolean => ts.isImportSpecifier(node) && (node.propertyName ?? node.name).text === name

const SRC = fileURLToPath(new URL('../src', import.meta.url))
const house: readonly Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ path: relative(SRC, join(SRC, file)).split(sep).join('/'), text: readFileSync(join(SRC, file), 'utf8') }))

describe('the house', () => {
  it('is there to be looked at', () => {
    expect(house.map((source) => source.path)).toEqual(expect.arrayContaining(['config.ts', 'cli/program.ts', 'domain/event.ts']))
  })

  it('keeps its rules: imports, one room per vendor, environment, clock, chance, no any, no long file', () => {
    expect(breaches(house)).toEqual([])
  })

  it('starts with a script that needs nothing but Node and what it builds', () => {
    const imports = importsOf(readFileSync(join(SRC, 'bootstrap.mjs'), 'utf8'))
    expect(imports.filter((specifier) => !specifier.startsWith('node:'))).toEqual(['../dist/main.js'])
  })
})

describe('the check of the house', () => {
  const found = (path: string, text: string): string[] => breaches([{ path, text }])

  it.each([
    ['domain/a.ts', "import type { B } from '../ports/b.js'", 'domain may not import ports'],
    ['domain/a.ts', "import { hash } from 'node:crypto'", 'domain uses nothing from outside'],
    ['ports/a.ts', "import { Kafka } from 'kafkajs'", 'ports uses nothing from outside'],
    ['ports/a.ts', "export { b } from '../scoring/b.js'", 'ports may not import scoring'],
    ['scoring/a.ts', "import { b } from '../pipeline/b.js'", 'scoring may not import pipeline'],
    ['pipeline/a.ts', "const b = await import('../adapters/kafka/b.js')", 'pipeline may not import adapters/kafka'],
    ['pipeline/a.ts', "import { b } from '../cases/b.js'", 'pipeline may not import cases'],
    ['api/routes/a.ts', "import { b } from '../../cli/b.js'", 'api may not import cli'],
    ['api/a.ts', "import { b } from '../config.js'", 'api may not import config'],
    ['cli/a.ts', "type B = import('../adapters/memory/b.js').B", 'cli may not import adapters/memory'],
    ['adapters/kafka/a.ts', "import { b } from '../postgres/b.js'", 'adapters/kafka may not import adapters/postgres'],
    ['adapters/kafka/a.ts', "import { b } from '../../scoring/b.js'", 'adapters/kafka may not import scoring'],
    ['simulate/a.ts', "import { b } from '../scoring/b.js'", 'simulate may not import scoring'],
    ['pipeline/a.ts', "import { b } from '../main.js'", 'pipeline may not import main'],
    ['main.ts', "import { b } from '../test/support/b.js'", 'which is outside src'],
    ['helpers/a.ts', '', 'no room of the house'],
  ])('finds in %s: %s', (path, text, words) => {
    expect(found(path, text)).toEqual([expect.stringContaining(words)])
  })

  it.each([
    ['main.ts', 'const port = process.env.PORT', 'the environment'],
    ['api/a.ts', "const port = process['env']['PORT']", 'the environment'],
    ['api/a.ts', 'const { env } = process', 'the environment'],
    ['adapters/kafka/a.ts', "import { env as e } from 'node:process'", 'the environment'],
    ['scoring/a.ts', 'const t = Date.now()', 'the clock'],
    ['scoring/a.ts', 'const t = globalThis.Date.now()', 'the clock'],
    ['scoring/a.ts', 'const now = Date.now', 'the clock'],
    ['pipeline/a.ts', 'const t = new Date()', 'the clock'],
    ['pipeline/a.ts', 'const t = Date()', 'the clock'],
    ['api/a.ts', 'const t = performance.now()', 'the clock'],
    ['cli/a.ts', 'const t = process.hrtime.bigint()', 'the clock'],
    ['config.ts', 'const r = Math.random()', 'chance'],
    ['cli/a.ts', "import { randomUUID } from 'node:crypto'", 'chance'],
    ['api/a.ts', 'const id = crypto.randomUUID()', 'chance'],
    ['scoring/a.ts', 'const x: any = 1', 'any'],
    ['scoring/a.ts', 'const x = y as any', 'any'],
  ])('finds in %s: %s', (path, text, what) => {
    expect(found(path, text)).toEqual([`${path}:1 uses ${what}`])
  })

  it('finds a vendor that is named in two rooms, and counts its subpaths as the same', () => {
    const two = [{ path: 'adapters/a/x.ts', text: "import a from '@v/lib'" }, { path: 'adapters/b/x.ts', text: "import b from '@v/lib/sub'" }]
    expect(breaches(two)).toEqual(['@v/lib is named in more than one room: adapters/a, adapters/b'])
  })

  it('finds a long file and a check that is switched off', () => {
    expect(found('scoring/a.ts', 'export {}\n'.repeat(351))).toEqual(['scoring/a.ts has 351 lines, more than 350'])
    expect(found('scoring/a.ts', '// @ts-' + 'ignore')).toEqual(['scoring/a.ts:1 switches a check off'])
  })

  it('lets pass what is allowed', () => {
    expect(breaches([
      { path: 'main.ts', text: "import { a } from './adapters/kafka/a.js'\nimport { c } from './config.js'\nconst t = Date.now()" },
      { path: 'adapters/kafka/a.ts', text: "import { b } from './b.js'\nimport { c } from '../../ports/c.js'\nconst t = performance.now()" },
      { path: 'config.ts', text: 'const port = process.env.PORT' },
      { path: 'api/a.ts', text: 'const d = new Date(ms)\nengine.process(raw)\nprocess(raw)\nprocess.on(x, y)\nconst many = 1 // any' },
      { path: 'scoring/a.ts', text: 'export {}\n'.repeat(350) },
    ])).toEqual([])
  })
})
