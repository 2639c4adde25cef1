import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

export interface Received { id: string; body: string }

export interface CallbackReceiver {
  readonly url: string
  /** Everything that came with a good signature, oldest first; a repeat stands here again. */
  readonly received: readonly Received[]
  /** Calls whose signature was wrong or missing. */
  readonly forged: number
  /** What each call brought besides its body: method, URL and headers, as one text. */
  readonly envelopes: readonly string[]
  close(): Promise<void>
}

/**
 * The booking core's end of a callback, on loopback: verifies each call as Standard Webhooks asks. `refuse` is asked before the answer
 * and makes it a 500 although the message was read, as a receiver that crashes after its commit does.
 */
export async function startCallbackReceiver(secret: string, refuse: () => boolean = () => false): Promise<CallbackReceiver> {
  const webhook = new Webhook(secret)
  const received: Received[] = []
  const envelopes: string[] = []
  let forged = 0
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
      envelopes.push(`${request.method ?? ''} ${request.url ?? ''} ${JSON.stringify(headers)}`)
      try {
        webhook.verify(body, headers)
        received.push({ id: headers['webhook-id'] ?? '', body })
        response.writeHead(refuse() ? 500 : 204).end()
      } catch {
        forged++
        response.writeHead(401).end()
      }
    })
  })
  await new Promise<void>((listening) => { server.listen(0, '127.0.0.1', listening) })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/holds`, received, envelopes,
    get forged() { return forged },
    close: () => new Promise((closed) => { server.closeAllConnections(); server.close(() => { closed() }) }),
  }
}
