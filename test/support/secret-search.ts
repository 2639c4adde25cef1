/** One thing that must not be found, and what it is (a person's number in the run, never the value, goes into reports). */
export interface Secret { what: string; value: string; /** Only where no digit stands on either side: short enough to come about by chance. */ alone?: boolean }

export interface Found { what: string; form: string; at: number }

export interface SecretSearch {
  /** Every place in `bytes` where a secret stands, in any form; at most `limit` of them. */
  find(bytes: Buffer, limit?: number): Found[]
}

interface Pattern { what: string; form: string; bytes: Buffer; alone: boolean }

/** Patterns are found by their first six bytes; anything shorter would be found by chance. */
const HEAD = 6
/** Hex and base64 of less than this are too likely to come about in hashes and keys. */
const ENCODED_FROM = 9

/**
 * Looks for values as raw bytes: UTF-8, UTF-16 of both orders, hex, base64 and base64url at any alignment, JSON escapes,
 * percent-encoding. One pass over the bytes, whatever the number of secrets.
 */
export function createSecretSearch(secrets: readonly Secret[]): SecretSearch {
  const patterns = new Map<number, Pattern[]>()
  const heads = new Uint8Array(1 << 24)
  for (const pattern of secrets.flatMap(formsOf)) {
    if (pattern.bytes.length < HEAD) continue
    heads[pattern.bytes.readUIntBE(0, 3)] = 1
    const key = pattern.bytes.readUIntBE(0, HEAD)
    patterns.set(key, [...(patterns.get(key) ?? []), pattern])
  }

  return {
    find(bytes, limit = 20) {
      const found: Found[] = []
      for (let at = 0, head = 0; at < bytes.length && found.length < limit; at++) {
        head = ((head << 8) | (bytes[at] ?? 0)) & 0xffffff
        const start = at - 2
        if (heads[head] !== 1 || start < 0 || start + HEAD > bytes.length) continue
        for (const { what, form, bytes: wanted, alone } of patterns.get(bytes.readUIntBE(start, HEAD)) ?? []) {
          if (!bytes.subarray(start, start + wanted.length).equals(wanted)) continue
          if (!alone || (!isDigit(bytes[start - 1]) && !isDigit(bytes[start + wanted.length]))) found.push({ what, form, at: start })
        }
      }
      return found
    },
  }
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39

function formsOf({ what, value, alone = false }: Secret): Pattern[] {
  const plain = Buffer.from(value, 'utf8')
  const little = Buffer.from(value, 'utf16le')
  const big = Buffer.from(little).swap16()
  const forms: [string, Buffer][] = [['UTF-8', plain], ['UTF-16LE', little], ['UTF-16BE', big]]
  if (!/^[\x20-\x7e]*$/.test(value)) {
    const escaped = Array.from(big.toString('hex').matchAll(/.{4}/g), ([unit]) => `\\u${unit}`).join('')
    forms.push(['JSON escapes', Buffer.from(escaped)], ['JSON escapes', Buffer.from(escaped.toUpperCase().replaceAll('\\U', '\\u'))])
    forms.push(['percent-encoding', Buffer.from(encodeURIComponent(value))])
  }
  if (plain.length >= ENCODED_FROM) {
    forms.push(['hex', Buffer.from(plain.toString('hex'))], ['hex', Buffer.from(plain.toString('hex').toUpperCase())])
    for (const shift of [0, 1, 2]) {
      const text = base64Inside(plain, shift)
      forms.push(['base64', Buffer.from(text)])
      const urlText = text.replaceAll('+', '-').replaceAll('/', '_')
      if (urlText !== text) forms.push(['base64url', Buffer.from(urlText)])
    }
  }
  return forms.map(([form, bytes]) => ({ what, form, bytes, alone: alone && form === 'UTF-8' }))
}

/** The characters of base64 that depend on `bytes` alone when it stands `shift` bytes into a group of three. */
function base64Inside(bytes: Buffer, shift: number): string {
  const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
  return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6))
}
