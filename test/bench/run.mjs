// `npm run bench [-- name...]`: compiles src/ and test/ and runs test/bench/*.ts, all or the named ones, one after the other.
// Compiled by tsc, as the product is: a loader that rewrites imports would slow down what is measured.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, install } from '../../src/bootstrap.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(dirname(here))
const out = join(root, 'dist', 'bench')
const present = readdirSync(here).filter((file) => file.endsWith('.ts')).map((file) => basename(file, '.ts'))
const names = process.argv.length > 2 ? process.argv.slice(2) : present
const unknown = names.filter((name) => !present.includes(name))
if (unknown.length > 0) fail(`there is no bench ${unknown.join(', ')}; there are: ${present.join(', ')}`, 2)

install()
build()
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
// What the code finds beside src/ in the checkout, it finds beside the compiled src/ too.
for (const name of ['package.json', 'rules', 'models']) symlinkSync(join(root, name), join(out, name))
const compile = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.test.json', '--noEmit', 'false', '--outDir', out]
if (spawnSync(process.execPath, compile, { cwd: root, stdio: 'inherit' }).status !== 0) fail('the benches do not compile', 1)
for (const name of names) {
  const { status } = spawnSync(process.execPath, ['--expose-gc', join(out, 'test', 'bench', `${name}.js`)], { cwd: root, stdio: 'inherit' })
  if (status !== 0) fail(`bench ${name} failed`, 1)
}

function fail(text, code) {
  process.stderr.write(`${text}\n`)
  process.exit(code)
}
