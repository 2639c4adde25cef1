import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A line to the PostgreSQL server that a test can spoil. */
export interface Line {
  connectionString: string
  /** Cuts, once, the connection that sends `text`: after the server has answered it, before the client hears so. */
  loseAnswerTo(text: string): void
  /** From now on nothing gets through, either way, and nobody is told: the other machine is gone. */
  freeze(): void
  /** Cuts all connections. */
  cut(): void
  close(): Promise<void>
}

/** Long enough for the answer to a statement, and its commit, to have come back. */
const ANSWER_MS = 200

/** Stands between a client and the server's unix socket. */
export async function openLine(connectionString: string): Promise<Line> {
  const dir = await mkdtemp(join(tmpdir(), 'line-'))
  const url = new URL(connectionString)
  const target = join(url.searchParams.get('host') ?? '', '.s.PGSQL.5432')
  const sockets = new Set<Socket>()
  let lose: string | undefined
  let frozen = false
  const server = createServer((client) => {
    const upstream = connect(target)
    let losing = false
    const end = (): void => { client.destroy(); upstream.destroy() }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end).on('close', () => { sockets.delete(socket); if (!frozen) end() })
    }
    client.on('data', (bytes) => {
      if (frozen) return
      if (lose !== undefined && bytes.includes(lose)) {
        lose = undefined
        losing = true
        setTimeout(end, ANSWER_MS)
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => { if (!frozen && !losing) client.write(bytes) })
  })
  await new Promise<void>((done) => { server.listen(join(dir, '.s.PGSQL.5432'), done) })
  url.searchParams.set('host', dir)
  const cut = (): void => { for (const socket of sockets) socket.destroy() }
  return {
    connectionString: url.href,
    loseAnswerTo(text) { lose = text },
    freeze() { frozen = true },
    cut,
    async close() {
      cut()
      await new Promise((done) => { server.close(done) })
      await rm(dir, { recursive: true, force: true })
    },
  }
}
