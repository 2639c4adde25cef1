import { TypeGuard, type TObject } from '@sinclair/typebox'

export type Json = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether objects and arrays stand in each other more than `depth` levels deep. Its own recursion is bounded by `depth`. */
export function nestsDeeperThan(depth: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth === 0) return true
  for (const key in value) if (nestsDeeperThan(depth - 1, (value as Json)[key])) return true
  return false
}

/**
 * Compiles a copier that takes only the members `schema` names, at every level, in canonical order (sorted names).
 * Values of a wrong type are passed on as they are, for the schema check to name.
 */
export function keepKnown(schema: TObject): (value: Json) => Json {
  const members = Object.entries(schema.properties).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, member]) => ({ name, copy: TypeGuard.IsObject(member) ? keepKnown(member) : undefined }))
  return (value) => {
    const known: Record<string, unknown> = {}
    for (const { name, copy } of members) {
      // No known name is one of Object.prototype, so a plain read finds own members only.
      const member = value[name]
      if (member !== undefined) known[name] = copy && isObject(member) ? copy(member) : member
    }
    return known
  }
}

/** RFC 8785: names sorted by UTF-16 code units, no white space, numbers and strings as JSON.stringify writes them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (!isObject(value)) return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name])}`).join(',')}}`
}
