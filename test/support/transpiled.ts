import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import ts from 'typescript'

const ROOT = join(import.meta.dirname, '../..')

/**
 * The named folders and files of this checkout as plain JavaScript under `out`, so that a child process starts in a moment.
 * Enough for code that imports nothing but its own like and Node.
 */
export async function transpileTo(out: string, sources: readonly string[]): Promise<void> {
  await mkdir(out, { recursive: true })
  await writeFile(join(out, 'package.json'), '{"type":"module"}')
  for (const source of sources) {
    const files = source.endsWith('.ts') ? [source] : (await readdir(join(ROOT, source))).filter((name) => name.endsWith('.ts')).map((name) => join(source, name))
    for (const file of files) {
      const { outputText } = ts.transpileModule(await readFile(join(ROOT, file), 'utf8'), { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } })
      const target = join(out, file.replace(/\.ts$/, '.js'))
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, outputText)
    }
  }
}
