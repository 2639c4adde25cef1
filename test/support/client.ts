import { setTimeout as sleep } from 'node:timers/promises'

/** One HTTP answer as a caller sees it; `text` is the body's exact bytes as UTF-8. */
export interface Answer { status: number; text: string; headers: Headers }

export interface CallOptions { body?: unknown; type?: string; secret?: string }

export interface Client {
  /** One call, as it comes out. `body` is sent as it is when it is a string, else as JSON. Rejects when there is no answer. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** The same until it is neither refused for load (429, 503) nor unanswered: what a booking core does after a crash. */
  insist(method: string, path: string, options?: CallOptions): Promise<Answer>
}

const ANSWER_WITHIN_MS = 15_000
const INSIST_FOR_MS = 120_000
const PAUSE_MS = 150

/** An outside caller with one API key. Counts in `tries` how often `insist` had to ask again. */
export function createClient(url: string, secret: string, tries: { again: number } = { again: 0 }): Client {
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const { body, type = 'application/json', secret: key = secret } = options
    const response = await fetch(url + path, {
      method, signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      headers: { ...(key === '' ? {} : { authorization: `Bearer ${key}` }), ...(body === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return { status: response.status, text: await response.text(), headers: response.headers }
  }

  return { call, insist: insisting(call, tries, { forMs: INSIST_FOR_MS, pauseMs: PAUSE_MS }) }
}

/** A call made again until its answer can be used, or `forMs` are over. */
export function insisting(call: Client['call'], tries: { again: number }, { forMs, pauseMs }: { forMs: number; pauseMs: number }): Client['insist'] {
  return async (method, path, options) => {
    for (const deadline = Date.now() + forMs; ;) {
      const answer = await call(method, path, options).catch(() => undefined)
      if (answer && answer.status !== 429 && answer.status < 500) return answer
      if (Date.now() > deadline) throw new Error(`no usable answer to ${method} ${path} in ${forMs / 1_000} s; the last was ${answer?.status ?? 'none'}`)
      tries.again++
      await sleep(pauseMs)
    }
  }
}
