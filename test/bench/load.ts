import { connect } from 'node:net'
import { quantile } from './figures.js'
import { releaseMinute, type Wave } from './release-minute.js'

/**
 * The load, a process of its own: bookings of a release minute over keep-alive connections, each sending its next request
 * when it has its answer. Requests are written out before the clock starts and answers only looked at for status and
 * outcome, so that the load costs a fraction of what it drives.
 */
export interface Round { url: string; key: string; wave: Wave; connections: number; seconds: number }
export interface RoundResult {
  requests: number
  seconds: number
  p50Ms: number
  p99Ms: number
  statuses: Record<string, number>
  outcomes: Record<string, number>
  /** Of the load itself: near 100 % it would be the bottleneck. */
  cpuShare: number
}

const HEAD_END = Buffer.from('\r\n\r\n'), LENGTH = Buffer.from('content-length: '), OUTCOME = Buffer.from('"outcome":"')

process.on('message', (message: Round | 'go') => {
  if (message !== 'go') prepare(message)
})

function prepare(round: Round): void {
  const { host, port, hostname } = new URL(round.url)
  const head = `POST /v1/score HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${round.key}\r\ncontent-type: application/json\r\ncontent-length: `
  const requests = releaseMinute(round.wave).filter((e) => e.scored).map(({ json }) => Buffer.from(`${head}${Buffer.byteLength(json)}\r\n\r\n${json}`))
  process.once('message', () => { void drive(round, requests, { host: hostname, port: Number(port) }).then((result) => process.send?.(result)) })
  process.send?.('ready')
}

async function drive({ connections, seconds }: Round, requests: readonly Buffer[], to: { host: string; port: number }): Promise<RoundResult> {
  const took = new Float64Array(requests.length)
  const statuses: Record<string, number> = {}, outcomes: Record<string, number> = {}
  let next = 0, answered = 0
  const started = performance.now(), cpuBefore = process.cpuUsage()
  const until = started + seconds * 1000
  const count = (tally: Record<string, number>, name: string): void => { tally[name] = (tally[name] ?? 0) + 1 }

  const connection = (): Promise<void> => new Promise((resolve, reject) => {
    const socket = connect(to)
    socket.setNoDelay(true)
    let sentAt = 0
    let pending: Buffer | undefined
    const send = (): void => {
      const request = requests[next++]
      if (!request || performance.now() > until) { socket.destroy(); resolve(); return }
      sentAt = performance.now()
      socket.write(request)
    }
    socket.once('connect', send)
    socket.once('error', reject)
    socket.once('close', () => { resolve() })
    socket.on('data', (chunk: Buffer) => {
      const bytes = pending ? Buffer.concat([pending, chunk]) : chunk
      const bodyAt = bytes.indexOf(HEAD_END) + HEAD_END.length
      const lengthAt = bytes.indexOf(LENGTH) + LENGTH.length
      if (bodyAt < HEAD_END.length || bytes.length < bodyAt + parseInt(bytes.toString('latin1', lengthAt, lengthAt + 8), 10)) { pending = bytes; return }
      pending = undefined
      took[answered++] = performance.now() - sentAt
      count(statuses, bytes.toString('latin1', 9, 12))
      const outcomeAt = bytes.indexOf(OUTCOME, bodyAt)
      if (outcomeAt >= 0) count(outcomes, bytes.toString('latin1', outcomeAt + OUTCOME.length, bytes.indexOf(0x22, outcomeAt + OUTCOME.length)))
      send()
    })
  })
  await Promise.all(Array.from({ length: connections }, connection))
  const wallMs = performance.now() - started
  const cpu = process.cpuUsage(cpuBefore)
  const samples = took.subarray(0, answered)
  return {
    requests: answered, seconds: wallMs / 1000, p50Ms: quantile(samples, 0.5), p99Ms: quantile(samples, 0.99),
    statuses, outcomes, cpuShare: (cpu.user + cpu.system) / 1000 / wallMs,
  }
}
