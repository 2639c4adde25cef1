import { describe, expect, it } from 'vitest'
import { pageOf } from '../../../src/learn/evaluate/page.js'
import { COLOURS } from '../../../src/learn/evaluate/page-style.js'
import { legit, measure, order, scalper, SMALL, together } from './evaluate-cases.js'

/** WCAG 2 relative luminance of `#rrggbb`, and the contrast of two of them. */
const luminance = (colour: string): number => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
  .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4).reduce((sum, part, i) => sum + part * ([0.2126, 0.7152, 0.0722][i] ?? 0), 0)
const contrast = (a: string, b: string): number => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05)

describe('the page of an evaluation', () => {
  it('says in Chinese and English what was measured, with verdicts in words', async () => {
    const page = pageOf(await measure(SMALL))
    for (const words of ['黄牛预约拦截率', 'scalper bookings intercepted', '46.67 %', '≥ 70.00 %', '未达标', 'missed', 'family', 'SLOT_HANDOFF', '从未']) expect(page).toContain(words)
  })

  it('draws a share with its interval and says both to those who cannot see it', async () => {
    expect(pageOf(await measure(SMALL))).toContain('<svg role="img" aria-label="87.50 %, 52.91 % – 97.76 %"')
  })

  it('never lets a name from the files become markup', async () => {
    const hostile = '<img src=x onerror="alert(1)">&\''
    const page = pageOf(await measure(together(order('a', 0, ['hold'], scalper(hostile, 'G'), [hostile]), order('b', 0, ['deny/policy'], legit(hostile), [hostile]))))
    expect(page).not.toContain('<img')
    expect(page.split('&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#39;').length).toBeGreaterThan(3)
  })

  it('shows nothing that was not measured as a number', async () => {
    const page = pageOf(await measure({ labels: [], decisions: [] }))
    expect(page).not.toMatch(/NaN|undefined|null|Infinity/)
    expect(page).toContain('–')
  })

  it.each([0, 1] as const)('keeps the contrast of WCAG AA in theme %d', (theme) => {
    for (const name of ['ink', 'quiet', 'met', 'missed'] as const) expect(contrast(COLOURS[name][theme], COLOURS.paper[theme])).toBeGreaterThanOrEqual(4.5)
    for (const name of ['mark', 'band', 'limit'] as const) expect(contrast(COLOURS[name][theme], COLOURS.paper[theme])).toBeGreaterThanOrEqual(3)
  })
})
