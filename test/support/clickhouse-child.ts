import { openHistory } from '../../src/adapters/clickhouse/history-store.js'
import { aRequest, range, readAll } from '../contract/suites/history-store.js'

const BATCH = 20

/** Runs as a process of its own, to be killed. `write`: inserts for ever and prints the last acknowledged seq; `read`: prints what is there. */
export async function main([path = '', mode = '']: readonly string[]): Promise<void> {
  const store = openHistory({ path })
  await store.migrate()
  if (mode === 'read') {
    const all = await readAll(store)
    console.log(JSON.stringify({ seqs: all.map((r) => r.seq), decided: all.filter((r) => r.decision !== undefined).length }))
    await store.close()
    return
  }
  for (let from = 1; ; from += BATCH) {
    await store.insert(`t${from}`, range(from, from + BATCH - 1).map((seq) => aRequest(seq)))
    console.log(from + BATCH - 1)
  }
}
