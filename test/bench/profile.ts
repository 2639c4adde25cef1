import { readFileSync, writeFileSync } from 'node:fs'
import { Session, type Profiler } from 'node:inspector'
import { basename } from 'node:path'

/** Runs `work` under V8's sampling profiler and keeps the profile in `path`. */
export async function profiled(path: string, work: () => Promise<void>): Promise<void> {
  const session = new Session()
  session.connect()
  const post = (method: string): Promise<unknown> => new Promise((resolve, reject) => {
    session.post(method, (fault, result) => { if (fault) reject(fault); else resolve(result) })
  })
  await post('Profiler.enable')
  await post('Profiler.start')
  await work()
  const { profile } = await post('Profiler.stop') as Profiler.StopReturnType
  writeFileSync(path, JSON.stringify(profile))
  session.disconnect()
}

/** The functions in which most samples were taken (self time), idle time left out. */
export function topSelfTimes(path: string, count = 20): string[] {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as Profiler.Profile
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const spent = new Map<string, number>()
  let total = 0
  profile.samples?.forEach((id, i) => {
    const frame = nodes.get(id)?.callFrame
    const us = profile.timeDeltas?.[i] ?? 0
    if (!frame || frame.functionName === '(idle)') return
    const place = frame.url === '' ? '' : ` ${basename(frame.url)}:${frame.lineNumber + 1}`
    const name = `${frame.functionName || '(anonymous)'}${place}`
    spent.set(name, (spent.get(name) ?? 0) + us)
    total += us
  })
  const top = [...spent].sort(([, a], [, b]) => b - a).slice(0, count)
  return top.map(([name, us]) => `${(100 * us / total).toFixed(1).padStart(5)} %  ${name}`)
}
