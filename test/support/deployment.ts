import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'

/** The files a deployment is made of, read as their programs read them. */
export const ROOT = resolve(import.meta.dirname, '../..')
export const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
export const yamlOf = (path: string): unknown => parse(textOf(path), { merge: true })

export interface Compose {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean }>
  volumes: Record<string, unknown>
}
export interface Service {
  image: string
  build?: string
  command?: readonly string[]
  environment?: Record<string, string>
  healthcheck?: unknown
  restart?: string
  init?: boolean
  security_opt?: readonly string[]
  ports?: readonly string[]
  volumes?: readonly string[]
  networks: readonly string[]
  depends_on?: Record<string, { condition: string }>
  stop_grace_period?: string
  deploy: { replicas?: string; resources: { limits: { cpus: string; memory: string; pids: number } } }
}

const REFERENCE = /\$\$|\$\{([A-Z0-9_]+)(?::([-?])([^}]*))?\}|\$([A-Z0-9_]+)/g

export interface Reference { name: string; kind: 'required' | 'default' | 'bare'; text: string }

/** Every variable of the environment that a compose file asks for. */
export function referencesIn(text: string): Reference[] {
  return [...text.matchAll(REFERENCE)].flatMap(([, braced, operator, words = '', plain]) => {
    const name = braced ?? plain
    if (name === undefined) return []
    return [{ name, kind: operator === '?' ? 'required' as const : operator === '-' ? 'default' as const : 'bare' as const, text: words }]
  })
}

/** Puts values in as `docker compose` does. Throws on a required one that is missing or empty, with the file's own words. */
export function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(REFERENCE, (_whole: string, braced?: string, operator?: string, words?: string, plain?: string) => {
    const name = braced ?? plain
    if (name === undefined) return '$'
    const value = env[name] ?? ''
    if (value !== '' || operator === undefined) return value
    if (operator === '?') throw new Error(`${name}: ${words ?? ''}`)
    return words ?? ''
  })
}

export interface Instruction { stage: string; word: string; args: string }

/** A Dockerfile's instructions, one each, with the stage they belong to (its name, or its number). */
export function instructionsOf(dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter((line) => !line.startsWith('#')).join('\n').replace(/\\\n\s*/g, '').split('\n')
  let stage = ''
  let stages = 0
  return lines.filter((line) => line.trim() !== '').map((line) => {
    const [, word = '', args = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    if (word === 'FROM') stage = / AS (\S+)$/.exec(args)?.[1] ?? String(stages++)
    return { stage, word, args }
  })
}

/** What .dockerignore lets through. It must begin by shutting everything out, then name what goes in. */
export function contextOf(dockerignore: string): string[] {
  const [first, ...rest] = dockerignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  if (first !== '*' || rest.some((line) => !/^![\w.-]+$/.test(line))) throw new Error('.dockerignore must be * and then names to let in')
  return rest.map((line) => line.slice(1))
}

/** The command of the image's HEALTHCHECK. */
export function healthCommand(instructions: readonly Instruction[]): string[] {
  const health = instructions.find(({ word }) => word === 'HEALTHCHECK')?.args ?? ''
  return JSON.parse(/CMD (\[.*\])$/.exec(health)?.[1] ?? '[]') as string[]
}
