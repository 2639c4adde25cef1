import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { Session, type Profiler } from 'node:inspector'
import { basename, join } from 'node:path'
import type { BenchOptions } from './figures.js'

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

/** What Node has to be told to profile a process from its start to its end. */
export const profilingOptions = ({ profileDir }: BenchOptions, name: string): string[] =>
  profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`, `--cpu-prof-name=${name}.new.cpuprofile`]

/** Where the time of a process went that was started with `profilingOptions` and has ended. Empty without a profile. */
export function profileNotes({ profileDir }: BenchOptions, name: string): string[] {
  if (profileDir === undefined || !existsSync(join(profileDir, `${name}.new.cpuprofile`))) return []
  const path = join(profileDir, `${name}.cpuprofile`)
  renameSync(join(profileDir, `${name}.new.cpuprofile`), path)
  return [`profile: ${path}`, `by room and package: ${timesByArea(path).join(', ')}`, ...topSelfTimes(path, 40)]
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

/** Share of time by room of the product and by package; what belongs to Node itself goes to whoever called it. */
export function timesByArea(path: string, count = 16): string[] {
  const profile = JSON.parse(readFileSync(path, 'utf8')) as Profiler.Profile
  const areas = new Map<number, string>()
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  // A parent comes before its children in the list.
  for (const { id, callFrame, children = [] } of profile.nodes) {
    const own = areaOf(callFrame) ?? areas.get(id) ?? 'Node itself'
    areas.set(id, own)
    for (const child of children) areas.set(child, own)
  }
  const spent = new Map<string, number>()
  let total = 0
  profile.samples?.forEach((id, i) => {
    if (byId.get(id)?.callFrame.functionName === '(idle)') return
    const us = profile.timeDeltas?.[i] ?? 0, area = areas.get(id) ?? 'Node itself'
    spent.set(area, (spent.get(area) ?? 0) + us)
    total += us
  })
  return [...spent].sort(([, a], [, b]) => b - a).slice(0, count).map(([area, us]) => `${area} ${(100 * us / total).toFixed(1)} %`)
}

function areaOf({ functionName, url }: Profiler.Profile['nodes'][number]['callFrame']): string | undefined {
  if (functionName === '(garbage collector)') return 'garbage collection'
  // The compiled product lies below node_modules itself: its own src comes first.
  const [, room] = /\/bench-\d+\/src\/((?:adapters\/)?[\w.-]+)/.exec(url) ?? []
  return room ?? /\/node_modules\/((?:@[\w.-]+\/)?[a-z][\w.-]*)\/(?!.*\/node_modules\/)/.exec(url)?.[1]
}
