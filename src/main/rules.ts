import { readRuleFiles } from '../adapters/file/rule-files.js'
import type { StoredPolicy } from '../domain/policy.js'
import { buildRulebook } from '../pipeline/rulebook.js'
import type { Rulebook } from '../scoring/score.js'

/** The rulebook in `dir`; rejects, naming every problem with file and line, when it cannot be used. */
export async function loadRulebook(dir: string, overrides: readonly StoredPolicy[]): Promise<Rulebook> {
  const { rulebook, problems } = buildRulebook(await readRuleFiles(dir), overrides)
  if (!rulebook) throw new Error(`the rules in ${dir} cannot be used:\n${problems.map((p) => `  ${p.file}:${p.line}: ${p.message}`).join('\n')}`)
  return rulebook
}
