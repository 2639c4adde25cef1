import type { Announcement } from '../adapters/file/data-dir.js'
import type { Engine, Processed } from '../pipeline/engine.js'

/** A server on this machine that holds the data directory; commands speak to it instead of opening its stores. */
type Server = Pick<Announcement, 'url' | 'controlKey'>

/** Back-fill through the running server: calls made together travel together, one request at a time, in order. */
export function remoteEngine(server: Server): Engine {
  let waiting: { body: string; resolve: (processed: Processed) => void; reject: (fault: unknown) => void }[] = []
  let sending = false

  async function send(): Promise<void> {
    sending = true
    while (waiting.length > 0) {
      await Promise.resolve()
      const batch = waiting
      waiting = []
      try {
        const { results } = await call(server, '/v1/admin/backfill', batch.map((b) => b.body).join('\n'), 'application/x-ndjson') as { results: Processed[] }
        batch.forEach(({ resolve, reject }, i) => { const result = results[i]; if (result) resolve(result); else reject(new Error('the server answered for fewer events than it got')) })
      } catch (fault) {
        for (const { reject } of batch) reject(fault)
      }
    }
    sending = false
  }

  return {
    process: ({ body }) => new Promise((resolve, reject) => {
      const text = typeof body === 'string' ? body : Buffer.isBuffer(body) ? body.toString('utf8') : JSON.stringify(body.json)
      // A line break inside one line of NDJSON cannot be: it would shift every answer after it.
      waiting.push({ body: text.replaceAll('\n', ' '), resolve, reject })
      if (!sending) void send()
    }),
  }
}

/** Asks the running server to count everything again. Resolves with the number of events. */
export async function remoteRebuild(server: Server): Promise<number> {
  return (await call(server, '/v1/admin/rebuild', '{}', 'application/json') as { events: number }).events
}

async function call({ url, controlKey }: Server, path: string, body: string, type: string): Promise<unknown> {
  const answer = await fetch(url + path, { method: 'POST', headers: { authorization: `Bearer ${controlKey}`, 'content-type': type }, body })
  if (!answer.ok) throw new Error(`the running server at ${url} answered ${answer.status} to ${path}`)
  return answer.json()
}
