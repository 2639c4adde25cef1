import { connect, type Socket } from 'node:net'
import { crc32 } from 'node:zlib'
import { quantile } from './figures.js'
import { releaseMinute, seeded, type Wave } from './release-minute.js'

/**
 * The open load, a process of its own: every send time is fixed before the clock starts (a Poisson process), and a latency
 * is counted from it, whether or not the request could leave then. So a server that stands still for a second is seen as a
 * second, not as one slow answer (no coordinated omission). Turned away, a request may come again as the answer asks for.
 */
export interface OpenRound {
  url: string
  key: string
  wave: Wave
  /** One after the other; `measured`: its answers are in the latencies. */
  stretches: readonly { perSecond: number; seconds: number; measured: boolean }[]
  /** Most connections. A request that finds none idle waits, and its latency goes on. */
  connections: number
  /** Ask again after 429 and 503, as Retry-After says, until it is decided or this long after the last send time; 0: never. */
  againForMs: number
}

export interface OpenResult {
  requests: number
  /** From the first send time to the last answer. */
  seconds: number
  /** Answers with 200 whose send time lay in a measured stretch, from the send time of that try. */
  p50Ms: number
  p99Ms: number
  p999Ms: number
  /** Of all tries. `broken`: the connection ended without an answer. */
  statuses: Record<string, number>
  /** 429 and 503 that did not say when to come again. */
  withoutRetryAfter: number
  outcomes: Record<string, number>
  decided: number
  /** Requests that were still not decided when everything was over. */
  undecided: number
  /** Sum of CRC-32 of all decisions, modulo 2^32. */
  digest: number
  /** How late this process looked up at a send time: its own fault, though the latencies count it. */
  latenessMs: { p50: number; p99: number }
  mostInFlight: number
  mostConnections: number
  cpuShare: number
}

const HEAD_END = Buffer.from('\r\n\r\n'), LENGTH = /\r\ncontent-length: (\d+)/i, RETRY_AFTER = /\r\nretry-after: (\d+)/i
const OUTCOME = Buffer.from('"outcome":"')

process.on('message', (message: OpenRound | 'go') => {
  if (message !== 'go') prepare(message)
})

function prepare(round: OpenRound): void {
  const { host } = new URL(round.url)
  const head = `POST /v1/score HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${round.key}\r\ncontent-type: application/json\r\ncontent-length: `
  const requests = releaseMinute(round.wave).filter((e) => e.scored).map(({ json }) => Buffer.from(`${head}${Buffer.byteLength(json)}\r\n\r\n${json}`))
  const load = new OpenLoad(round, requests)
  process.once('message', () => { void load.run().then((result) => process.send?.(result)) })
  process.send?.('ready')
}

/** Milliseconds from the start; `measured` by index. */
export function sendTimes(stretches: OpenRound['stretches'], seed: number): { atMs: Float64Array; measured: Uint8Array } {
  const random = seeded(seed)
  const atMs: number[] = [], measured: number[] = []
  let from = 0
  for (const stretch of stretches) {
    const until = from + stretch.seconds * 1000
    for (let at = from; ;) {
      at -= Math.log(1 - random()) * 1000 / stretch.perSecond
      if (at >= until) break
      atMs.push(at)
      measured.push(stretch.measured ? 1 : 0)
    }
    from = until
  }
  return { atMs: Float64Array.from(atMs), measured: Uint8Array.from(measured) }
}

interface Try { request: number; dueMs: number }
interface Line { socket: Socket; busy: Try | undefined; received: Buffer | undefined }

class OpenLoad {
  private readonly times: ReturnType<typeof sendTimes>
  private readonly count: number
  private readonly random: () => number
  private readonly lateness: Float64Array
  private readonly latencies: number[] = []
  private readonly done: Uint8Array
  private readonly idle: Line[] = []
  private queue: Try[] = []
  private queueHead = 0
  private lines = 0
  private inFlight = 0
  private next = 0
  private pendingRetries = 0
  private startedMs = 0
  private lastAnswerMs = 0
  private finish: () => void = () => undefined
  private readonly result: OpenResult = {
    requests: 0, seconds: 0, p50Ms: NaN, p99Ms: NaN, p999Ms: NaN, statuses: {}, withoutRetryAfter: 0, outcomes: {}, decided: 0, undecided: 0, digest: 0,
    latenessMs: { p50: NaN, p99: NaN }, mostInFlight: 0, mostConnections: 0, cpuShare: NaN,
  }

  constructor(private readonly round: OpenRound, private readonly requests: readonly Buffer[]) {
    this.times = sendTimes(round.stretches, round.wave.seed + round.wave.wave)
    this.count = this.times.atMs.length
    if (requests.length < this.count) throw new Error(`${this.count} send times, but only ${requests.length} requests: the wave is too small`)
    this.random = seeded(round.wave.wave)
    this.lateness = new Float64Array(this.count)
    this.done = new Uint8Array(this.count)
  }

  async run(): Promise<OpenResult> {
    const cpuBefore = process.cpuUsage()
    this.startedMs = performance.now()
    await new Promise<void>((resolve) => {
      this.finish = resolve
      this.tick()
    })
    const wallMs = performance.now() - this.startedMs
    const cpu = process.cpuUsage(cpuBefore)
    const samples = Float64Array.from(this.latencies)
    return {
      ...this.result, requests: this.count, seconds: this.lastAnswerMs / 1000,
      p50Ms: quantile(samples, 0.5), p99Ms: quantile(samples, 0.99), p999Ms: quantile(samples, 0.999),
      undecided: this.count - this.result.decided, latenessMs: { p50: quantile(this.lateness, 0.5), p99: quantile(this.lateness, 0.99) },
      cpuShare: (cpu.user + cpu.system) / 1000 / wallMs,
    }
  }

  private now(): number { return performance.now() - this.startedMs }

  private tick(): void {
    const now = this.now()
    for (; this.next < this.count; this.next++) {
      const dueMs = this.times.atMs[this.next] ?? 0
      if (dueMs > now) break
      this.lateness[this.next] = now - dueMs
      this.send({ request: this.next, dueMs })
    }
    if (this.next < this.count) setTimeout(() => { this.tick() }, Math.min(50, (this.times.atMs[this.next] ?? 0) - now))
    else this.endIfOver()
  }

  private send(attempt: Try): void {
    this.inFlight++
    this.result.mostInFlight = Math.max(this.result.mostInFlight, this.inFlight)
    const line = this.idle.pop() ?? (this.lines < this.round.connections ? this.openLine() : undefined)
    if (line) this.write(line, attempt)
    else this.queue.push(attempt)
  }

  private write(line: Line, attempt: Try): void {
    line.busy = attempt
    line.socket.write(this.requests[attempt.request] ?? '')
  }

  private openLine(): Line {
    const { hostname, port } = new URL(this.round.url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const line: Line = { socket, busy: undefined, received: undefined }
    this.result.mostConnections = Math.max(this.result.mostConnections, ++this.lines)
    socket.on('data', (chunk: Buffer) => { this.receive(line, chunk) })
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => {
      this.lines--
      const at = this.idle.indexOf(line)
      if (at >= 0) this.idle.splice(at, 1)
      if (line.busy) this.answered(line.busy, 'broken', undefined)
      const waiting = this.nextWaiting()
      if (waiting) this.write(this.openLine(), waiting)
    })
    return line
  }

  private nextWaiting(): Try | undefined {
    const waiting = this.queue[this.queueHead]
    if (!waiting) return undefined
    if (++this.queueHead > 10_000) { this.queue = this.queue.slice(this.queueHead); this.queueHead = 0 }
    return waiting
  }

  private receive(line: Line, chunk: Buffer): void {
    const bytes = line.received ? Buffer.concat([line.received, chunk]) : chunk
    const bodyAt = bytes.indexOf(HEAD_END) + HEAD_END.length
    const head = bodyAt < HEAD_END.length ? '' : bytes.toString('latin1', 0, bodyAt)
    const end = bodyAt + Number(LENGTH.exec(head)?.[1] ?? NaN)
    if (head === '' || bytes.length < end) { line.received = bytes; return }
    line.received = undefined
    const attempt = line.busy
    line.busy = undefined
    const waiting = this.nextWaiting()
    if (waiting) this.write(line, waiting)
    else this.idle.push(line)
    if (attempt) this.answered(attempt, head.slice(9, 12), { body: bytes.subarray(bodyAt, end), retryAfterS: RETRY_AFTER.exec(head)?.[1] })
  }

  private answered({ request, dueMs }: Try, status: string, answer: { body: Buffer; retryAfterS: string | undefined } | undefined): void {
    const { result } = this
    const now = this.now()
    this.inFlight--
    this.lastAnswerMs = now
    result.statuses[status] = (result.statuses[status] ?? 0) + 1
    if (status === '200' && answer) this.decided(request, dueMs, now, answer.body)
    else if (status === '429' || status === '503' || status === 'broken') {
      if (status !== 'broken' && answer?.retryAfterS === undefined) result.withoutRetryAfter++
      this.comeAgain(request, 1000 * Number(answer?.retryAfterS ?? 1))
    }
    this.endIfOver()
  }

  private decided(request: number, dueMs: number, now: number, body: Buffer): void {
    const { result } = this
    const at = body.indexOf(OUTCOME)
    const outcome = body.toString('latin1', at + OUTCOME.length, body.indexOf(0x22, at + OUTCOME.length))
    result.outcomes[outcome] = (result.outcomes[outcome] ?? 0) + 1
    // A try that comes again after the measured stretch is no longer part of it.
    if (this.times.measured[request] === 1) this.latencies.push(now - dueMs)
    if (this.done[request] === 1) return
    this.done[request] = 1
    result.decided++
    result.digest = (result.digest + crc32(body)) % 2 ** 32
  }

  /** When it was asked to, and up to a second later, so that all those turned away do not come at one instant. */
  private comeAgain(request: number, afterMs: number): void {
    const dueMs = this.now() + afterMs + this.random() * 1000
    if (dueMs > (this.times.atMs[this.count - 1] ?? 0) + this.round.againForMs) return
    this.pendingRetries++
    setTimeout(() => {
      this.pendingRetries--
      this.send({ request, dueMs: Math.max(dueMs, this.now() - 2) })
    }, dueMs - this.now())
  }

  private endIfOver(): void {
    if (this.next < this.count || this.inFlight > 0 || this.pendingRetries > 0) return
    for (const { socket } of this.idle.splice(0)) socket.destroy()
    this.finish()
  }
}
