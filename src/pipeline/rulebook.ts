import type { StoredPolicy } from '../domain/policy.js'
import { createCatalogue, type Catalogue } from '../scoring/catalogue.js'
import { parseCounters, type FileProblem } from '../scoring/counters.js'
import { planVelocity } from '../scoring/plan.js'
import { checkPolicies, createPolicyBook } from '../scoring/policy.js'
import { checkPacks } from '../scoring/rule-pack.js'
import type { Rulebook } from '../scoring/score.js'

/** The texts of a rules directory; `file` is the name shown in problems. */
export interface RuleFiles {
  counters: TextFile
  packs: readonly TextFile[]
  policies: readonly TextFile[]
}
export interface TextFile { file: string; text: string }

/** Builds everything decisions are made by from its files. Every problem of all files at once; no rulebook with any. */
export function buildRulebook(files: RuleFiles, overrides: readonly StoredPolicy[]): { rulebook?: Rulebook; catalogue: Catalogue; problems: FileProblem[] } {
  const { counters, problems: counterProblems } = parseCounters(files.counters.file, files.counters.text)
  const catalogue = createCatalogue(counters)
  // Without counters every rule would seem to name unknown features: the one problem would hide among a hundred.
  const packs = counterProblems.length > 0 ? { problems: [] } : checkPacks(files.packs, catalogue, files.counters.text)
  const policies = checkPolicies(files.policies)
  const problems = [...counterProblems, ...packs.problems, ...policies.problems]
  if (problems.length > 0 || !packs.packs || !policies.policies) return { catalogue, problems }
  return { rulebook: { catalogue, names: [...catalogue.keys()], plan: planVelocity(counters), rules: packs.packs, policies: createPolicyBook(policies.policies, overrides) }, catalogue, problems }
}
