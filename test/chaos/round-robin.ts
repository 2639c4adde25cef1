import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, type Client } from '../support/client.js'

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
  return {
    call,
    async insist(method, path, options) {
      for (const deadline = Date.now() + INSIST_FOR_MS; ;) {
        const answer = await call(method, path, options).catch(() => undefined)
        if (answer && answer.status !== 429 && answer.status < 500) return answer
        if (Date.now() > deadline) throw new Error(`no usable answer to ${method} ${path} in ${INSIST_FOR_MS / 1_000} s; the last was ${answer?.status ?? 'none'}`)
        tries.again++
        await sleep(PAUSE_MS)
      }
    },
  }
}
