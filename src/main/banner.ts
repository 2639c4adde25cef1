import { join } from 'node:path'
import type { Io } from '../cli/io.js'

/** A booking that anybody can paste: made up, with an ID number that only has a valid checksum. */
const EXAMPLE = {
  event_id: 'try-1', type: 'booking.requested', order_id: 'order-1',
  channel: { id: 'app', kind: 'app' }, account: { id: 'account-1' },
  patient: { id_type: '01', id_number: '110101199003070011', name: '王小明', phone: '13800001234' },
  slot: { hospital_id: 'h-007', schedule_id: 'schedule-1' },
}

/** Says where to look, shows fresh demo keys once, and gives a line to paste that gets a decision. */
export function writeBanner(io: Io, { url, dataDir, demo }: { url: string; dataDir: string; demo: { keys: Record<string, string>; fresh: boolean } | undefined }): void {
  const lines = ['', `Zhenhao 真号 is ready at ${url}`, `  API, readable      ${url}/docs`, `  health, metrics    ${url}/readyz  ${url}/metrics`, `  data               ${dataDir}`]
  if (demo) {
    const file = join(dataDir, 'demo-keys.json')
    lines.push(`  demo keys          ${file}`)
    if (demo.fresh) lines.push('', 'Demo keys, shown once (this server listens on loopback only):', ...Object.entries(demo.keys).map(([name, secret]) => `  ${name.padEnd(18)} ${secret}`))
    lines.push('', 'Paste this to get a decision:', `  curl -s ${url}/v1/score -H 'content-type: application/json' \\`,
      `    -H "authorization: Bearer $(node -p 'require("${file}").booking_core')" \\`,
      `    -d '${JSON.stringify(EXAMPLE).replace('"type"', `"occurred_at":"'$(date +%Y-%m-%dT%H:%M:%S%:z)'","type"`)}'`)
  }
  io.stdout.write(`${lines.join('\n')}\n\n`)
}
