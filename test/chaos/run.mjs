// `npm run chaos [-- --events N --kills N --rate N --seed N --json]`: compiles src/ and test/ aside and runs test/chaos/main.ts.
// Aside, so that a build of the checkout in the meantime does not change the product that is being killed.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { install } from '../../src/bootstrap.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
install()
const out = join(root, 'node_modules', '.cache', 'zhenhao', `chaos-${process.pid}`)
mkdirSync(join(out, 'test', 'support'), { recursive: true })
process.on('exit', () => { rmSync(out, { recursive: true, force: true }) })
// What the code finds beside src/ and test/ in the checkout, it finds beside the compiled ones too.
for (const name of ['package.json', 'rules', 'models', 'node_modules', 'test/support/kafka']) symlinkSync(join(root, name), join(out, name))
const compile = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.test.json', '--noEmit', 'false', '--outDir', out]
const compiled = spawnSync(process.execPath, compile, { cwd: root, stdio: ['ignore', 2, 2] })
if (compiled.status !== 0) process.stderr.write('chaos: the types have faults, see above\n')

const child = spawn(process.execPath, [join(out, 'test', 'chaos', 'main.js'), ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { child.kill(signal) })
child.on('close', (code) => { process.exitCode = code ?? 1 })
