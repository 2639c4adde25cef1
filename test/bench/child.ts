import type { BenchOptions, RowResult } from './figures.js'

/** One row in a process of its own, so that no row inherits another's heap or compiled code. */
const [, , row = '', options = '{}'] = process.argv
const { run } = await import(`./rows/${row}.js`) as { run: (options: BenchOptions) => Promise<RowResult> }
const result = await run(JSON.parse(options) as BenchOptions)
process.send?.(result, () => { process.exit(0) })
