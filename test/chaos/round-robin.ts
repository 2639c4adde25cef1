import { createClient, insisting, type Client } from '../support/client.js'

const INSIST_FOR_MS = 180_000
const PAUSE_MS = 100

/** A caller that spreads its calls over several processes, and asks another one when it has no answer, 429 or 5xx. */
export function createRoundRobin(urls: readonly string[], secret: string, tries: { again: number }): Client {
  const clients = urls.map((url) => createClient(url, secret))
  let turn = 0
  const call: Client['call'] = (method, path, options) => {
    const client = clients[turn++ % clients.length]
    if (!client) throw new Error('no process to call')
    return client.call(method, path, options)
  }
  return { call, insist: insisting(call, tries, { forMs: INSIST_FOR_MS, pauseMs: PAUSE_MS }) }
}
