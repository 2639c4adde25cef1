import { describe, expect, it } from 'vitest'
import { readRuleFiles } from '../../../src/adapters/file/rule-files.js'
import { buildRulebook, type RuleFiles } from '../../../src/pipeline/rulebook.js'

const shipped = (): Promise<RuleFiles> => readRuleFiles('rules')

describe('the rulebook', () => {
  it('is built from the shipped files, with the overrides that people set', async () => {
    const stored = { hospitalId: 'h-9', patch: { enforcement: 'observe' as const }, changedBy: 'anna', changedAt: 0, revision: 1 }
    const { rulebook, problems } = buildRulebook(await shipped(), [stored])
    expect(problems).toEqual([])
    expect(rulebook?.rules.rules.length).toBeGreaterThan(20)
    expect([rulebook?.policies.of('h-9').policy.enforcement, rulebook?.policies.of('h-8').policy.enforcement]).toEqual(['observe', 'enforce'])
  })

  it('names every problem of all files at once, and is none with any', async () => {
    const files = await shipped()
    const { rulebook, problems } = buildRulebook({
      counters: files.counters, packs: [...files.packs, { file: 'packs/extra.yaml', text: 'nonsense: true' }], policies: [...files.policies, { file: 'policies/extra.yaml', text: 'hospitals: 5' }],
    }, [])
    expect(rulebook).toBeUndefined()
    expect(new Set(problems.map((p) => p.file))).toEqual(new Set(['packs/extra.yaml', 'policies/extra.yaml']))
    for (const problem of problems) expect(problem.line).toBeGreaterThan(0)
  })

  it('with broken counters blames the counters, not every rule that uses one', async () => {
    const files = await shipped()
    const { problems } = buildRulebook({ ...files, counters: { file: 'counters.yaml', text: 'counters: 7' } }, [])
    expect(problems.length).toBeGreaterThan(0)
    expect(new Set(problems.map((p) => p.file))).toEqual(new Set(['counters.yaml']))
  })

  it('has another version when the rules mean something else, and the same when only a comment changed', async () => {
    const files = await shipped()
    const version = (packs: RuleFiles['packs']): string | undefined => buildRulebook({ ...files, packs }, []).rulebook?.rules.version
    const [first, ...rest] = files.packs
    if (!first) throw new Error('no packs')
    expect(version([{ ...first, text: `# a comment\n${first.text}` }, ...rest])).toBe(version(files.packs))
    expect(version(rest)).not.toBe(version(files.packs))
  })
})
