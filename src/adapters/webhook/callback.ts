import { Webhook } from 'standardwebhooks'
import type { OutboxMessage } from '../../ports/enforcement-store.js'

/** What this adapter needs of a logger; pino's has it. */
interface Log { warn(fields: object, message: string): void }

export interface CallbackOptions {
  /** ZHENHAO_CALLBACK_URL; `user:password@` in it becomes an Authorization header and is never logged. */
  url: string
  /** ZHENHAO_CALLBACK_SECRET: `whsec_` and base64, base64 alone, or any other text of at least 16 characters, taken as it is. */
  secret: string
  log: Log
  fetch?: typeof fetch
  now?: () => number
}

/** Sends messages and returns the outbox ids of those that arrived; the rest are to be sent again. Never rejects. */
export type Callback = (messages: readonly OutboxMessage[]) => Promise<string[]>

const TIMEOUT_MS = 5_000
const AT_ONCE = 8
/** Standard Webhooks asks for 24-64 bytes; below 16 a key can be guessed. */
const MIN_KEY_BYTES = 16
const PREFIX = 'whsec_'
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

/** The signing key's bytes. Throws with words that do not show the secret. */
function keyOf(secret: string): Uint8Array {
  const text = secret.trim()
  const prefixed = text.startsWith(PREFIX)
  const body = prefixed ? text.slice(PREFIX.length) : text
  if (prefixed && !BASE64.test(body)) throw new Error('ZHENHAO_CALLBACK_SECRET: what follows "whsec_" is not base64')
  const decoded = BASE64.test(body) ? Buffer.from(body, 'base64') : Buffer.alloc(0)
  const key = prefixed || decoded.length >= MIN_KEY_BYTES ? decoded : Buffer.from(text)
  if (key.length < MIN_KEY_BYTES) throw new Error(`ZHENHAO_CALLBACK_SECRET: the key has ${key.length} bytes, at least ${MIN_KEY_BYTES} are needed`)
  return new Uint8Array(key)
}

function endpointOf(text: string): { url: string; headers: Record<string, string> } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new Error('ZHENHAO_CALLBACK_URL: not an http or https URL')
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  url.username = url.password = ''
  return { url: url.href, headers: user === ':' ? {} : { authorization: `Basic ${Buffer.from(user).toString('base64')}` } }
}

/**
 * POSTs ended holds to the booking core, signed as Standard Webhooks. The bytes are the stored ones and `webhook-id` is the
 * hold id, so every try of a message has the same of both. Only a 2xx counts as arrived; redirects are not followed.
 * Throws at once when the URL or the secret cannot be used.
 */
export function createCallback({ url, secret, log, fetch: send = fetch, now = Date.now }: CallbackOptions): Callback {
  const endpoint = endpointOf(url)
  const webhook = new Webhook(keyOf(secret), { format: 'raw' })

  /** Undefined when it arrived, else why not. */
  const post = async ({ holdId, body }: OutboxMessage): Promise<string | undefined> => {
    const at = new Date(now())
    const headers = {
      ...endpoint.headers, 'content-type': 'application/json', 'user-agent': 'zhenhao',
      'webhook-id': holdId, 'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)), 'webhook-signature': webhook.sign(holdId, at, body),
    }
    try {
      const response = await send(endpoint.url, { method: 'POST', headers, body, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) })
      await response.body?.cancel()
      return response.ok ? undefined : `status ${response.status}`
    } catch (error) {
      return reasonOf(error)
    }
  }

  return async (messages) => {
    const arrived: string[] = []
    const waiting = messages[Symbol.iterator]()
    const worker = async (): Promise<void> => {
      for (const message of waiting) {
        const failure = await post(message)
        if (failure === undefined) arrived.push(message.outboxId)
        else log.warn({ holdId: message.holdId, failure }, 'a callback did not arrive; it will be sent again')
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    return arrived
  }
}

/** fetch's own messages may quote the URL: a code (ECONNREFUSED, ENOTFOUND) or the kind of error is enough. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown fault'
  const { cause } = error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : error.name
}
