import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

interface TextFile { file: string; text: string }

/** Reads `counters.yaml`, `packs/*.yaml` and `policies/*.yaml` of a rules directory, sorted by name. Rejects when one cannot be read. */
export async function readRuleFiles(dir: string): Promise<{ counters: TextFile; packs: TextFile[]; policies: TextFile[] }> {
  const read = async (path: string): Promise<TextFile> => ({ file: relative(process.cwd(), path), text: await readFile(path, 'utf8') })
  const folder = async (name: string): Promise<TextFile[]> => {
    const files = (await readdir(join(dir, name))).filter((f) => /\.ya?ml$/.test(f)).sort()
    return Promise.all(files.map((f) => read(join(dir, name, f))))
  }
  const [counters, packs, policies] = await Promise.all([read(join(dir, 'counters.yaml')), folder('packs'), folder('policies')])
  return { counters, packs, policies }
}
