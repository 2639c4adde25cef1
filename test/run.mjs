// `npm test [-- vitest arguments]`: install, build, types, lint, tests. The last line counts them all:
// `N passed, N failed, N skipped`, where types and lint are one each. The exit code is 1 when anything failed.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, install } from '../src/bootstrap.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** The whole run has to end within 25 minutes; what hangs is ended before and counts as failed. */
const VITEST_LIMIT_MS = 20 * 60_000
const CHECK_LIMIT_MS = 5 * 60_000
const report = mkdtempSync(join(tmpdir(), 'zhenhao-test-'))

// A failed step below ends this process at once: the line is written all the same.
let line = '0 passed, 1 failed, 0 skipped'
process.on('exit', () => {
  rmSync(report, { recursive: true, force: true })
  process.stdout.write(`${line}\n`)
})

install()
build()
// Two cores: one after the other takes as long, and their output stays apart.
const types = await run('types', 'typescript/bin/tsc', ['-p', 'tsconfig.test.json'], CHECK_LIMIT_MS)
const lint = await run('lint', 'eslint/bin/eslint.js', ['.', '--max-warnings', '0'], CHECK_LIMIT_MS)
const json = join(report, 'vitest.json')
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${json}`]
const vitest = await run('tests', 'vitest/vitest.mjs', ['run', ...reporters, ...process.argv.slice(2)], VITEST_LIMIT_MS)

const tests = countsIn(json, vitest)
const checks = [types, lint]
const failed = tests.failed + checks.filter((ok) => !ok).length
line = `${tests.passed + checks.filter((ok) => ok).length} passed, ${failed} failed, ${tests.skipped} skipped`
process.exitCode = failed > 0 ? 1 : 0

/** Runs a tool of node_modules with this Node. Resolves to whether it ended well. */
async function run(name, tool, args, limitMs) {
  process.stdout.write(`== ${name}\n`)
  const child = spawn(process.execPath, [join(root, 'node_modules', tool), ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], timeout: limitMs })
  const forward = (signal) => { child.kill(signal) }
  process.on('SIGINT', forward).on('SIGTERM', forward)
  const [code, signal] = await new Promise((resolve) => child.on('close', (...end) => { resolve(end) }))
  process.off('SIGINT', forward).off('SIGTERM', forward)
  if (signal !== null) process.stdout.write(`${name}: ended by ${signal}${signal === 'SIGTERM' ? `, perhaps after the limit of ${limitMs / 60_000} minutes` : ''}\n`)
  return code === 0
}

/** Counts of vitest's own report. A file that could not be loaded, and an error outside any test, count as one failure each. */
function countsIn(file, endedWell) {
  const nothing = { passed: 0, failed: 1, skipped: 0 }
  try {
    const { testResults, numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(file, 'utf8'))
    const unloaded = testResults.filter((result) => result.status === 'failed' && !result.assertionResults.some((test) => test.status === 'failed')).length
    const failed = numFailedTests + unloaded
    return { passed: numPassedTests, failed: failed === 0 && !endedWell ? 1 : failed, skipped: numPendingTests + numTodoTests }
  } catch {
    process.stdout.write('vitest left no report: it did not start, or was ended\n')
    return nothing
  }
}
