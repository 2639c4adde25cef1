import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { createMetrics } from '../../src/adapters/prometheus/metrics.js'
import { readConfig } from '../../src/config.js'
import { contextOf, healthCommand, instructionsOf, interpolate, referencesIn, ROOT, textOf, yamlOf, type Compose } from '../support/deployment.js'

// Checked without an engine: the files agree with the schema of compose, with the product's settings and metrics, and with the guide.

const source = textOf('docker-compose.yml')
const compose = yamlOf('docker-compose.yml') as Compose
const services = Object.entries(compose.services)
/** Values like those that the guide tells to make. */
const SECRETS = { POSTGRES_PASSWORD: 'a1'.repeat(24), REDIS_PASSWORD: 'b2'.repeat(24), CLICKHOUSE_PASSWORD: 'c3'.repeat(24), GRAFANA_PASSWORD: 'd4'.repeat(24), ZHENHAO_TOKEN_KEY: 'e5'.repeat(32) }
const started = parse(interpolate(source, SECRETS), { merge: true }) as Compose
const settingsOf = (name: string): Record<string, string> => started.services[name]?.environment ?? {}

describe('docker-compose.yml', () => {
  const validate = (): ReturnType<Ajv['compile']> => {
    const ajv = new Ajv({ strict: false, allErrors: true })
    formats.default(ajv)
    for (const own of ['ports', 'expose', 'duration', 'subnet_ip_address']) ajv.addFormat(own, true)
    return ajv.compile(JSON.parse(textOf('test/fixtures/compose-spec.schema.json')) as object)
  }

  it('is what the Compose Specification allows', () => {
    const check = validate()
    expect(check(started), JSON.stringify(check.errors)).toBe(true)
    expect(check({ ...started, services: { ...started.services, api: { ...started.services['api'], restrat: 'always' } } })).toBe(false)
  })

  it.each(services)('keeps %s healthy, limited, without new rights, at a pinned version', (_name, service) => {
    const imageHealth = instructionsOf(textOf('Dockerfile')).some(({ word }) => word === 'HEALTHCHECK')
    expect(service.healthcheck !== undefined || (service.build === '.' && imageHealth)).toBe(true)
    expect(service).toMatchObject({ restart: 'unless-stopped', init: true, security_opt: ['no-new-privileges:true'] })
    expect(service.deploy.resources.limits).toEqual({ cpus: expect.any(String) as string, memory: expect.any(String) as string, pids: expect.any(Number) as number })
    // No host of a registry before the name; at least major.minor after it.
    expect(interpolate(service.image, {})).toMatch(/^[a-z]+(\/[a-z-]+)?:v?\d+\.\d+[\w.-]*$/)
  })

  it('opens the door and Grafana on loopback, and nothing else', () => {
    const open = Object.entries(started.services).flatMap(([name, { ports = [] }]) => ports.map((port) => `${name} ${port}`))
    expect(open).toEqual(['door 127.0.0.1:8080:8080', 'grafana 127.0.0.1:3000:3000'])
    expect(compose.networks['inside']).toEqual({ internal: true })
    for (const store of ['kafka', 'redis', 'clickhouse', 'postgres', 'prometheus']) expect(compose.services[store]?.networks).toEqual(['inside'])
  })

  it('starts a service when what it needs is healthy', () => {
    for (const [, { depends_on = {} }] of services) {
      for (const [needed, { condition }] of Object.entries(depends_on)) expect([needed in compose.services, condition]).toEqual([true, 'service_healthy'])
    }
    for (const role of ['api', 'stream']) expect(Object.keys(compose.services[role]?.depends_on ?? {}).sort()).toEqual(['clickhouse', 'kafka', 'postgres', 'redis'])
  })

  it('mounts only files that are there and volumes that are named', () => {
    const mounts = services.flatMap(([, { volumes = [] }]) => volumes.map((mount) => mount.split(':')[0] ?? ''))
    const [files, named] = [mounts.filter((mount) => mount.startsWith('.')), mounts.filter((mount) => !mount.startsWith('.'))]
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  it('lets Redis refuse rather than forget, and keep its log', () => {
    const words = started.services['redis']?.command?.join(' ').replace(/\s*\\?\n\s*/g, ' ') ?? ''
    expect(words).toContain('--maxmemory-policy noeviction')
    expect(words).toContain('--appendonly yes --appendfsync everysec')
    // Arguments can be read by everyone on the host: the password is not among them.
    expect(words.split('<<END')[0]).not.toContain('REDIS_PASSWORD')
  })

  it.each(['api', 'stream'])('lets %s write to its own directories only', (role) => {
    expect(compose.services[role]).toMatchObject({ read_only: true, cap_drop: ['ALL'], tmpfs: ['/tmp'] })
    expect(compose.services[role]?.volumes).toBeUndefined()
  })

  it('gives a process longer to end than it takes itself', () => {
    const [, shutdownMs] = /SHUTDOWN_MS = ([\d_]+)/.exec(textOf('src/main/serve.ts')) ?? []
    for (const role of ['api', 'stream']) {
      expect(Number.parseInt(compose.services[role]?.stop_grace_period ?? '0') * 1000).toBeGreaterThan(Number(shutdownMs?.replaceAll('_', '')) + 5_000)
    }
  })
})

describe('what is set', () => {
  it.each(['api', 'stream'])('is a configuration that %s starts with, every server named', (role) => {
    const read = readConfig(settingsOf(role))
    expect(read).toMatchObject({ ok: true })
    expect(started.services[role]?.command).toEqual(['serve', '--roles', role])
    expect(Object.keys(settingsOf(role))).toEqual(expect.arrayContaining(['KAFKA_BROKERS', 'REDIS_URL', 'CLICKHOUSE_URL', 'DATABASE_URL']))
  })

  it('is known to the product by name', () => {
    const config = textOf('src/config.ts')
    const names = [...new Set(['api', 'stream'].flatMap((role) => Object.keys(settingsOf(role))))]
    expect(names.filter((name) => !config.includes(`'${name}'`))).toEqual([])
  })

  it('names servers that are services of the file', () => {
    const { KAFKA_BROKERS = '', REDIS_URL = '', CLICKHOUSE_URL = '', DATABASE_URL = '' } = settingsOf('api')
    const hosts = [KAFKA_BROKERS.split(':')[0] ?? '', ...[REDIS_URL, CLICKHOUSE_URL, DATABASE_URL].map((url) => new URL(url).hostname)]
    expect(hosts).toEqual(['kafka', 'redis', 'clickhouse', 'postgres'])
  })

  it('has no secret with a default: without one nothing starts', () => {
    const required = referencesIn(source).filter(({ kind }) => kind === 'required').map(({ name }) => name)
    expect([...new Set(required)].sort()).toEqual(Object.keys(SECRETS).sort())
    // A password is asked for in several places; each of them has to insist. (`$$NAME` is the container's own, no reference.)
    expect(referencesIn(source).filter(({ name, kind }) => name in SECRETS && kind !== 'required')).toEqual([])
    for (const name of Object.keys(SECRETS)) expect(() => interpolate(source, { ...SECRETS, [name]: '' })).toThrow(`${name}: set it in .env`)
  })

  it('is explained in .env.example, which holds no secret', () => {
    const example = new Map(textOf('.env.example').split('\n').flatMap((line): [string, string][] => {
      const [, name, value = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
      return name === undefined ? [] : [[name, value]]
    }))
    expect([...example.keys()].sort()).toEqual([...new Set(referencesIn(source).map(({ name }) => name))].sort())
    expect([...example].filter(([name, value]) => /PASSWORD|SECRET|KEY/.test(name) && value !== '')).toEqual([])
    // What is shown as a default is the default.
    const shown = referencesIn(source).filter(({ name, kind }) => kind === 'default' && example.get(name) !== undefined)
    expect(shown.filter(({ name, text }) => example.get(name) !== text)).toEqual([])
  })

  it('is secret in no file', () => {
    const files = ['docker-compose.yml', 'Dockerfile', '.env.example', 'deploy/haproxy.cfg', ...filesIn('dashboards')]
    // References are taken out first; what then still follows a name or stands in a URL is a value.
    const literal = /(password|secret|_key|token)\w*\s*[:=]\s*["']?\w|:\/\/[^/\s]*:\w+@/i
    const found = files.flatMap((file) => textOf(file).replace(/\$?\$\{[^}]*\}/g, '').split('\n').filter((line) => !line.trim().startsWith('#') && literal.test(line)).map((line) => `${file}: ${line.trim()}`))
    expect(found).toEqual([])
  })
})

const filesIn = (dir: string): string[] => readdirSync(join(ROOT, dir), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))

interface Query { where: string; expr: string }
interface Rule { alert: string; expr: string; labels: { severity: string }; annotations: { summary: string } }
interface Panel { id: number; title: string; description: string; fieldConfig: { defaults: { unit: string } }; targets: { refId: string; expr: string; datasource: { uid: string } }[] }
interface Board { uid: string; title: string; panels: Panel[] }

const rules = (yamlOf('dashboards/prometheus/alerts.yml') as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules)
const boards = filesIn('dashboards/grafana/boards').map((file) => ({ file, board: JSON.parse(textOf(file)) as Board }))
const queries: Query[] = [
  ...rules.map(({ alert, expr }) => ({ where: alert, expr })),
  ...boards.flatMap(({ board }) => board.panels.flatMap((panel) => panel.targets.map(({ expr }) => ({ where: `${board.uid}: ${panel.title}`, expr })))),
]

/** Every metric the product has, with the labels it carries. */
async function known(): Promise<Map<string, Set<string>>> {
  const metrics = createMetrics(() => Promise.resolve({
    journalLastSeq: 1, journalDurableSeq: 1, enforcedSeq: 1, historySeq: 1, publishedSeq: 1, velocityEntities: 1, velocityBytes: 1, velocityMaxBytes: 1, leads: { outgoing: true }, velocityIncomplete: false, streamLag: 0,
  }))
  // A labelled metric shows its labels with its first value; the compiler holds these names to those of the metrics.
  metrics.decisions.inc({ outcome: 'x', basis: 'x', enforcement: 'x' })
  metrics.events.inc({ type: 'x' })
  for (const byStatus of [metrics.turnedAway, metrics.deadLetters]) byStatus.inc({ status: 'x' })
  metrics.ruleHits.inc({ rule: 'x', mode: 'x' })
  metrics.ruleErrors.inc({ rule: 'x' })
  metrics.degraded.inc({ part: 'x' })
  metrics.holdsDelivered.inc({ sink: 'x' })
  metrics.holdsFailed.inc({ step: 'x' })
  metrics.streamRetries.inc({ why: 'x' })
  metrics.storeRetries.inc({ store: 'x' })
  metrics.http.observe({ route: 'x', status: 'x' }, 1)
  const { body } = await metrics.text()
  const found = new Map<string, Set<string>>([['up', new Set()], ['ALERTS', new Set(['alertname', 'alertstate', 'severity'])]])
  for (const [, name = '', labels = ''] of body.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? /gm)) {
    found.set(name, new Set([...found.get(name) ?? [], ...[...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label)]))
  }
  return found
}

/** Metrics and labels that an expression names. PromQL's own words are those before a bracket, and the few of the list. */
function namesIn(expr: string): { metrics: string[]; labels: string[] } {
  const labels = [...expr.matchAll(/(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((label) => label.trim()))
  const selected = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, list = '']) => [...list.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label))
  const bare = expr.replace(/\{[^}]*\}|\[[^\]]*\]|"[^"]*"/g, ' ').replace(/(?:by|without|on|ignoring)\s*\([^)]*\)/g, ' ').replace(/offset\s+\w+/g, ' ')
  const metrics = [...bare.matchAll(/[A-Za-z_:][\w:]*(?!\w*\s*\()/g)].map(([name]) => name).filter((name) => !['and', 'or', 'unless', 'by', 'bool'].includes(name))
  return { metrics, labels: [...labels, ...selected] }
}

describe('figures', () => {
  it.each(queries)('of "$where" are figures that the product has', async ({ expr }) => {
    const have = await known()
    const { metrics, labels } = namesIn(expr)
    expect(metrics.length).toBeGreaterThan(0)
    expect(metrics.filter((name) => !have.has(name))).toEqual([])
    // Prometheus adds which process it asked.
    const carried = new Set(['job', 'instance', ...metrics.flatMap((name) => [...have.get(name) ?? []])])
    expect(labels.filter((label) => !carried.has(label))).toEqual([])
  })

  it('are found in an expression by name', () => {
    expect(namesIn('sum by (a, b) (rate(m_total{c="x y", d=~"m2"}[5m] offset 1d)) / scalar(n) > 3 unless absent(up{e!="f"})'))
      .toEqual({ metrics: ['m_total', 'n', 'up'], labels: ['a', 'b', 'c', 'd', 'e'] })
  })

  it('are asked from every process, wherever it runs', () => {
    const { scrape_configs, rule_files } = yamlOf('dashboards/prometheus/prometheus.yml') as { rule_files: string[]; scrape_configs: { job_name: string; dns_sd_configs?: { names: string[]; port: number }[] }[] }
    const asked = scrape_configs.flatMap(({ job_name, dns_sd_configs = [] }) => dns_sd_configs.map(({ names, port }) => [job_name, ...names, String(port)]))
    expect(asked).toEqual(['api', 'stream'].map((role) => [role, role, settingsOf(role)['PORT']]))
    expect(rule_files).toEqual(['alerts.yml'])
  })
})

describe('alerts', () => {
  const guide = textOf('docs/operating.md')
  const sections = new Map(guide.split(/^### /m).slice(1).map((section) => { const [head = '', ...body] = section.split('\n'); return [head.trim(), body.join('\n')] }))

  it.each(rules)('$alert says how urgent it is, and the guide says what it means, where to look and what to do', ({ alert, labels, annotations }) => {
    expect(['page', 'ticket']).toContain(labels.severity)
    expect(annotations.summary.length).toBeGreaterThan(20)
    expect(sections.get(alert) ?? '').toMatch(/^\s*\*\*Means\*\* [\s\S]*\*\*Look\*\* [\s\S]*\*\*Do\*\* /)
  })

  it('are all that the guide explains', () => {
    const explained = [...sections].filter(([, body]) => body.includes('**Means**')).map(([head]) => head)
    expect(explained.sort()).toEqual(rules.map(({ alert }) => alert).sort())
  })
})

describe('boards', () => {
  it('are three, provisioned from where they are mounted', () => {
    expect(boards.map(({ board }) => board.uid).sort()).toEqual(['release-second', 'rules', 'stores'])
    const { providers } = yamlOf('dashboards/grafana/provisioning/dashboards/zhenhao.yml') as { providers: { options: { path: string } }[] }
    expect(compose.services['grafana']?.volumes).toContain(`./dashboards/grafana/boards:${providers[0]?.options.path ?? ''}:ro`)
  })

  it.each(boards)('$file can be read: titles, units, words for each panel, and not too many', ({ board }) => {
    const { datasources } = yamlOf('dashboards/grafana/provisioning/datasources/prometheus.yml') as { datasources: { uid: string }[] }
    expect(board.panels.length).toBeLessThanOrEqual(12)
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length)
    for (const { title, description, fieldConfig, targets } of board.panels) {
      expect([title.length > 5, description.length > 20, fieldConfig.defaults.unit.length > 0], title).toEqual([true, true, true])
      expect(targets.filter(({ datasource }) => !datasources.some(({ uid }) => uid === datasource.uid))).toEqual([])
    }
  })
})

describe('the image', () => {
  const instructions = instructionsOf(textOf('Dockerfile'))

  it('is made of pinned images and runs as a user without rights', () => {
    expect(instructions.filter(({ word }) => word === 'FROM').map(({ args }) => args)).toEqual([expect.stringMatching(/^node:20\.\d+\.\d+-bookworm-slim AS build$/), expect.stringMatching(/^node:20\.\d+\.\d+-bookworm-slim$/)])
    const last = instructions.at(-1)?.stage
    const users = instructions.filter(({ stage, word }) => stage === last && word === 'USER').map(({ args }) => args)
    expect(users).toEqual(['node'])
  })

  it('takes from the folder what .dockerignore lets through, and that is there', () => {
    const copied = instructions.filter(({ word, args }) => word === 'COPY' && !args.startsWith('--from')).flatMap(({ args }) => args.split(' ').slice(0, -1).map((path) => path.replace('./', '')))
    expect([...new Set(copied)].sort()).toEqual(contextOf(textOf('.dockerignore')).sort())
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })

  it.each([[200, 0], [503, 1]])('is healthy when /readyz answers %i: the check ends with %i', async (status, code) => {
    const server = createServer((request, reply) => reply.writeHead(request.url === '/readyz' ? status : 404).end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const [, ...args] = healthCommand(instructions)
    const child = spawn(process.execPath, args, { env: { PORT: String((server.address() as AddressInfo).port) }, stdio: 'ignore' })
    expect(await once(child, 'exit')).toEqual([code, null])
    server.close()
  })
})
