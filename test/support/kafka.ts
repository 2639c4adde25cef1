import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import kafkajs from 'kafkajs'
import { freePort } from './process.js'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const cache = join(root, 'node_modules/.cache/zhenhao/kafka')
const pom = join(import.meta.dirname, 'kafka/pom.xml')
/** Any 16 bytes in base64url; every broker here is a cluster of its own on its own ports. */
const CLUSTER_ID = 'emhlbmhhby10ZXN0LWthZg'

export interface KafkaBroker {
  /** `127.0.0.1:PORT`, the same after a restart. */
  brokers: string
  /** Ends the broker the hard way (SIGKILL) or by another signal; its disk stays. SIGSTOP and SIGCONT only freeze and wake it. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same disk and ports; resolves when it answers. */
  restart(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/**
 * A real one-node Kafka 4.1 (KRaft) on loopback, without Docker: jars from Maven, once per checkout, started on Java 17.
 * `properties` are added to server.properties. Undefined (with a loud line) when Java or Maven cannot be had; throws with CI=true.
 */
export async function startKafka(options: { properties?: Record<string, string> } = {}): Promise<KafkaBroker | undefined> {
  const missing = await install()
  if (missing !== undefined) {
    if (process.env['CI'] === 'true') throw new Error(`No Kafka for the tests: ${missing}`)
    console.error(`\n!!! NO KAFKA, tests that need a real broker do not run: ${missing}\n`)
    return undefined
  }
  const dir = mkdtempSync(join(tmpdir(), 'zhenhao-kafka-'))
  const [port, controllerPort] = [await freePort(), await freePort()]
  const brokers = `127.0.0.1:${port}`
  cpSync(join(cache, 'formatted'), join(dir, 'log'), { recursive: true })
  writeFileSync(join(dir, 'server.properties'), properties(join(dir, 'log'), port, controllerPort, options.properties))
  const broker = brokerProcess(dir, brokers)
  try {
    await broker.start()
  } catch (error) {
    await broker.end('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
    throw error
  }
  return {
    brokers,
    kill: (signal = 'SIGKILL') => broker.end(signal),
    restart: async () => { await broker.end('SIGKILL'); await broker.start() },
    stop: async () => { await broker.end('SIGKILL'); rmSync(dir, { recursive: true, force: true }) },
  }
}

/** Starts and ends the one child of a broker; never leaves it behind when the test process goes. */
function brokerProcess(dir: string, brokers: string) {
  let child: ChildProcess | undefined
  const onExit = () => { child?.kill('SIGKILL') }

  const start = async () => {
    const output = openSync(join(dir, 'output.txt'), 'a')
    const args = [...JVM, '-cp', join(cache, 'libs/*'), 'kafka.Kafka', join(dir, 'server.properties')]
    child = spawn('java', args, { stdio: ['ignore', output, output] })
    closeSync(output)
    process.once('exit', onExit)
    await untilReady(brokers, child, dir)
  }
  const end = async (signal: NodeJS.Signals) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
    await once(child, 'exit')
    process.off('exit', onExit)
  }
  return { start, end }
}

/** Small heap, quick start: a test broker lives for seconds. */
const JVM = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

async function untilReady(brokers: string, child: ChildProcess, dir: string): Promise<void> {
  const kafka = new kafkajs.Kafka({ brokers: [brokers], clientId: 'ready', logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 0 } })
  const deadline = Date.now() + 90_000
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      throw new Error(`Kafka did not start: ${readFileSync(join(dir, 'output.txt'), 'utf8').slice(-3000)}`)
    }
    const admin = kafka.admin()
    try {
      await admin.connect()
      const { brokers: nodes } = await admin.describeCluster()
      if (nodes.length > 0) return
    } catch { /* not up yet: ask again until the deadline */ } finally { await admin.disconnect().catch(() => undefined) }
    await sleep(150)
  }
}

function properties(logDir: string, port: string, controllerPort: string, more: Record<string, string> = {}): string {
  const all: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'listeners': `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': logDir,
    'auto.create.topics.enable': 'false',
    'default.replication.factor': '1',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    // A broker killed with -9 may register again only after its lease has run out (9 s unless told).
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    ...more,
  }
  return Object.entries(all).map(([key, value]) => `${key}=${value}\n`).join('')
}

/** Jars and a formatted empty disk in the cache. Returns what is missing, or undefined when all is there. */
async function install(): Promise<string | undefined> {
  const tools = haveTools()
  if (tools !== undefined) return tools
  if (existsSync(join(cache, 'formatted')) && existsSync(join(cache, 'libs'))) return undefined
  // Several test files may come here at once: each builds its own copy, the first rename wins.
  const mine = `${cache}.${process.pid}`
  mkdirSync(mine, { recursive: true })
  try {
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${join(mine, 'libs')}`, '-DincludeScope=runtime'],
      { timeout: 600_000 })
    const config = join(mine, 'format.properties')
    writeFileSync(config, properties(join(mine, 'formatted'), '9092', '9093'))
    await run('java', ['-cp', join(mine, 'libs/*'), 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', config], { timeout: 120_000 })
    if (!existsSync(cache)) renameSync(mine, cache)
    return undefined
  } catch (error) {
    if (existsSync(join(cache, 'formatted'))) return undefined
    return `Maven or the storage tool failed: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    rmSync(mine, { recursive: true, force: true })
  }
}

function haveTools(): string | undefined {
  const works = (command: string, flag: string) => spawnSync(command, [flag], { stdio: 'ignore' }).status === 0
  const both = () => works('java', '-version') && works('mvn', '-version')
  if (both()) return undefined
  if (process.getuid?.() !== 0) return 'java 17 and mvn are needed and there is no right to install them'
  spawnSync('apt-get', ['install', '-y', '-q', 'openjdk-17-jre-headless', 'maven'], { stdio: 'ignore', timeout: 600_000 })
  return both() ? undefined : 'java 17 and mvn are needed and apt-get could not install them'
}
