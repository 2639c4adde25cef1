// `npm run bench -- [options]` (see --help): compiles src/ and test/ as the product is compiled, and runs the bench.
// Compiled aside from dist/, so that a build meanwhile does not pull the ground away from under a measurement.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { install } from '../../src/bootstrap.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
// One per run: two runs side by side would otherwise overwrite each other's code.
const out = join(root, 'node_modules', '.cache', 'zhenhao', `bench-${process.pid}`)

install()
mkdirSync(join(out, 'test', 'support'), { recursive: true })
process.on('exit', () => { rmSync(out, { recursive: true, force: true }) })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { process.exit(1) })
// What the code finds beside src/ in the checkout, it finds beside the compiled src/ too.
for (const name of ['package.json', 'rules', 'models', 'node_modules', 'test/support/kafka']) symlinkSync(join(root, name), join(out, name))

process.stderr.write('bench: compiling ...\n')
run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join('test', 'bench', 'tsconfig.json'), '--outDir', out])
// The product's own flag (npm start): with 16 MB young records are copied twice before they die.
run(['--max-semi-space-size=64', join(out, 'test', 'bench', 'main.js'), ...process.argv.slice(2)])

/** Runs Node on `args`, and ends with its code when that is not 0. stdout stays free for the result of a --json run. */
function run(args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', args[0]?.endsWith('tsc') ? 2 : 'inherit', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
}
