// What `npm start` runs first: makes a clean clone runnable (install, build), then runs dist/main.js in this process.
// Plain JavaScript with nothing but Node's own modules, since neither packages nor dist/ may be there yet.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => join(root, ...parts)
const say = (text) => { process.stderr.write(`zhenhao: ${text}\n`) }

/** Ends the process with words for people: nothing after a failed step could work. */
function giveUp(text) {
  say(text)
  process.exit(1)
}

/** Installs node_modules when it is missing or is not what package-lock.json asks for. */
export function install() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) giveUp(`Node.js 20.19 or newer is needed, this is ${process.versions.node}`)
  if (isInstalled()) return
  say('installing packages (npm ci), once ...')
  // Development packages too, whatever NODE_ENV says: the compiler is one of them. npm's output must not mix with stdout.
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, error } = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) giveUp(`npm ci failed${error ? `: ${error.message}` : ''}; see above, then try: npm ci`)
}

/** Compares contents, not file times: a checkout and a copy change those. Optional packages of other platforms may be away. */
function isInstalled() {
  if (!existsSync(at('node_modules', '.package-lock.json'))) return false
  const wanted = packagesIn(at('package-lock.json'))
  const present = packagesIn(at('node_modules', '.package-lock.json'))
  return Object.entries(wanted).every(([path, { version, optional }]) =>
    path === '' || (present[path] === undefined ? optional === true : present[path].version === version))
}

const packagesIn = (file) => JSON.parse(readFileSync(file, 'utf8')).packages

/** Compiles src/ to dist/ when anything that goes into it is newer than the last good build. */
export function build() {
  const stamp = at('dist', '.built')
  const sourcesAt = Math.max(...['src', 'tsconfig.json', 'package-lock.json'].map((name) => newest(at(name))))
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= sourcesAt) return
  say('building (tsc) ...')
  const started = new Date()
  // Built aside and swapped in: a failed build leaves the last one, and a file deleted in src/ does not live on in dist/.
  const fresh = at(`dist.${process.pid}`)
  const options = ['-p', root, '--outDir', fresh, '--incremental', 'false', '--tsBuildInfoFile', 'null']
  const { status } = spawnSync(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), ...options], { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true })
    giveUp('the build failed, see above')
  }
  // The command of package.json's `bin`, called by its path too.
  if (existsSync(join(fresh, 'main.js'))) chmodSync(join(fresh, 'main.js'), 0o755)
  writeFileSync(join(fresh, '.built'), '')
  // As old as the build's beginning, so that a file saved meanwhile counts as newer.
  utimesSync(join(fresh, '.built'), started, started)
  rmSync(at('dist'), { recursive: true, force: true })
  renameSync(fresh, at('dist'))
}

/** The latest change below a path, epoch milliseconds. Directories count: their time tells of deleted files. */
function newest(path) {
  const { mtimeMs } = statSync(path)
  if (!statSync(path).isDirectory()) return mtimeMs
  return Math.max(mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

// Through realpath: the checkout may be reached by a symbolic link.
const isCommand = process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
if (isCommand) {
  const [, , ...args] = process.argv
  install()
  build()
  if (args[0] !== '--build-only') {
    // In this process: signals, exit code, standard streams are main's own.
    process.argv = [process.argv[0], at('dist', 'main.js'), ...args]
    await import('../dist/main.js')
  }
}
