import { OUTCOMES } from '../../domain/decision.js'
import { barOf, type BarName, type Verdict } from './bars.js'
import { rowMeets } from './evaluate.js'
import { LABEL_KINDS } from './input.js'
import type { Interval, Rate } from './interval.js'
import { STYLE } from './page-style.js'
import type { Report } from './report.js'

/** The report as one page that needs nothing else: no script, no font, no request. Chinese and English side by side. */
export function pageOf(report: Report): string {
  const { bookings } = report
  const sections = [barsOf, sharesOf, tacticsOf, groupsOf, gangsOf, slotsOf, outcomesOf, limitsOf, reasonsOf, inputOf].map((section) => section(report)).join('\n')
  return `<!doctype html>
<html lang="zh">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>真号 评估报告 · Zhenhao evaluation</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${both('真号 评估报告', 'Zhenhao evaluation')}</h1>
<p>${both(
    `共 ${number(bookings.total)} 个预约：黄牛 ${number(bookings.scalper)}，患者 ${number(bookings.legit)}。区间均为 95 %。`,
    `${number(bookings.total)} bookings: ${number(bookings.scalper)} of scalpers, ${number(bookings.legit)} of patients. Intervals are 95 %.`,
  )}</p>
${sections}
</main>
</body>
</html>
`
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign)
const both = (zh: string, en: string): string => `${escaped(zh)} <span lang="en" class="en">${escaped(en)}</span>`
const number = (count: number): string => count.toLocaleString('en-US')
const percent = (share: number | null): string => share === null ? '–' : `${(100 * share).toFixed(2)} %`
const orNever = (value: number | null): string => value === null ? both('从未', 'never') : String(Number(value.toFixed(1)))
const ofMany = ({ count, of }: Rate): string => `${number(count)} / ${number(of)}`
const rangeWords = ({ low, high }: Interval): string => `${percent(low)} – ${percent(high)}`

/** A table whose first column names the row; cells are HTML. Nothing at all without rows. */
function section(title: string, columns: readonly string[], rows: readonly (readonly string[])[], note = ''): string {
  if (rows.length === 0) return ''
  const head = columns.map((column) => `<th scope="col">${column}</th>`).join('')
  const body = rows.map(([name = '', ...cells]) => `<tr><th scope="row">${name}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('\n')
  const words = note === '' ? '' : `<p class="note">${note}</p>`
  // Scrolls by itself on a narrow screen; reachable by keyboard therefore.
  return `<section><h2>${title}</h2>${words}<div class="scroll" tabindex="0" role="group" aria-label="${title.replace(/<[^>]+>/g, '')}">
<table><thead><tr>${head}</tr></thead><tbody>
${body}
</tbody></table></div></section>`
}

interface Plot { rate: Rate; limit?: number; /** The share at the right edge. */ full: number }

/** The share as a dot, its interval as a band, the bar as an upright line; percentages instead of a view box keep the dot round at any width. */
function plot({ rate, limit, full }: Plot): string {
  if (rate.value === null || rate.low === null || rate.high === null) return ''
  const at = (share: number): string => `${Math.min(100, 100 * share / full).toFixed(2)}%`
  const words = `${percent(rate.value)}, ${rangeWords({ low: rate.low, high: rate.high })}`
  const line = limit === undefined ? '' : `<line class="limit" x1="${at(limit)}" x2="${at(limit)}" y1="0" y2="20"/>`
  return `<svg role="img" aria-label="${words}" height="20"><rect class="track" y="9" width="100%" height="2"/>`
    + `<rect class="band" x="${at(rate.low)}" y="6" width="${at(rate.high - rate.low)}" height="8"/>${line}<circle cx="${at(rate.value)}" cy="10" r="5"/></svg>`
}

/** A right edge that leaves room beside the largest share and the bar. */
const edgeFor = (rates: readonly Rate[], limit: number): number => Math.min(1, 1.2 * Math.max(limit, ...rates.map(({ value }) => value ?? 0)))

const verdictWord = (met: boolean | null): string =>
  met === null ? both('样本不足', 'too few') : met ? `<span class="met">✓ ${both('达标', 'met')}</span>` : `<span class="missed">✗ ${both('未达标', 'missed')}</span>`
/** The verdict stands by its figure, so that both are seen on a narrow screen. */
const judged = (figure: string, met: boolean | null): string => `${figure} <span class="verdict">${verdictWord(met)}</span>`

const BAR_WORDS: Readonly<Record<BarName, readonly [zh: string, en: string]>> = {
  recall: ['黄牛预约拦截率', 'scalper bookings intercepted'], tactic_after_10: ['各手法（团伙前 10 次请求之后）最低', 'each tactic after its gang\'s first 10 requests, worst'],
  precision: ['拦截准确率', 'precision of an interception'], innocents: ['误拦患者预约', 'patients\' bookings intercepted'],
  worst_group: ['误拦最多的患者群体', 'patients\' bookings intercepted, worst group'],
}

function barsOf({ verdicts, stage }: Report): string {
  const limit = ({ side, limit }: Verdict): string => `${side === 'least' ? '≥' : '≤'} ${percent(limit)}`
  return section(stage === 'rules' ? both('目标（仅规则）', 'Bars (rules alone)') : both('目标（含模型）', 'Bars (with a trained model)'),
    [both('项目', 'what'), both('实测', 'measured'), both('目标', 'bar')],
    verdicts.map((verdict) => [
      both(...BAR_WORDS[verdict.name]), judged(percent(verdict.value) + (verdict.of === undefined ? '' : ` (${escaped(verdict.of)})`), verdict.met), limit(verdict),
    ]))
}

function sharesOf({ interception, held, stage }: Report): string {
  const { by_cluster: cluster } = interception
  const row = (zh: string, en: string, rate: Rate, byGang: Interval | null, limit?: number): string[] =>
    [both(zh, en), percent(rate.value), plot({ rate, full: 1, ...(limit !== undefined && { limit }) }), ofMany(rate), byGang === null ? '' : rangeWords(byGang)]
  return section(both('拦截', 'Interceptions'), [both('项目', 'what'), both('比例', 'share'), both('区间', 'interval'), both('预约', 'bookings'), both('按团伙重抽样', 'by gang')], [
    row('准确率', 'precision', interception.precision, cluster.precision, barOf('precision', stage).limit), row('拦截率', 'recall', interception.recall, cluster.recall, barOf('recall', stage).limit),
    [both('F1', ''), percent(interception.f1), '', '', cluster.f1 === null ? '' : rangeWords(cluster.f1)], row('暂扣', 'bookings held', held, null),
  ], both('限流、暂扣、拒绝算拦截；按公布的限额拒绝的不算。竖线为目标。', 'Throttle, hold and deny, but not by a published limit. The upright line is the bar.'))
}

function tacticsOf({ tactics, stage }: Report): string {
  const { limit } = barOf('tactic_after_10', stage)
  return section(both('手法', 'Tactics'), [both('手法', 'tactic'), both('前 10 次之后', 'after the first 10'), both('区间', 'interval'), both('预约', 'bookings'), both('全部', 'all')],
    tactics.map(({ tactic, overall, after_first_10: after, too_few: few }) => [
      escaped(tactic), judged(percent(after.value), rowMeets('tactic_after_10', stage, after.value, few)), plot({ rate: after, limit, full: 1 }), ofMany(after), percent(overall.value),
    ]))
}

function groupsOf({ innocents, stage }: Report): string {
  const { limit } = barOf('worst_group', stage)
  const full = edgeFor(innocents.groups.filter(({ too_few }) => !too_few).map(({ intercepted }) => intercepted), limit)
  return section(both('患者群体', 'Patients, by group'), [
    both('群体', 'group'), both('误拦', 'intercepted'), `${both('区间', 'interval')} 0 – ${percent(full)}`, both('预约', 'bookings'), both('延误', 'delayed'), both('验证', 'challenged'),
  ], innocents.groups.map((row) => [
    escaped(row.group), judged(percent(row.intercepted.value), rowMeets('worst_group', stage, row.intercepted.value, row.too_few)), plot({ rate: row.intercepted, limit, full }),
    ofMany(row.intercepted), number(row.delayed), percent(row.challenged.value),
  ]))
}

const gangsOf = ({ gangs }: Report): string => section(both('首次拦住团伙之前', 'Until a gang is first stopped'), [both('单位', 'in'), both('中位数', 'median'), '90 %'], gangs.total === 0 ? [] : [
  [both('请求', 'requests'), orNever(gangs.requests.median), orNever(gangs.requests.p90)], [both('分钟', 'minutes'), orNever(gangs.minutes.median), orNever(gangs.minutes.p90)],
], both(`${number(gangs.total)} 个团伙，${number(gangs.never)} 个从未被拦。`, `${number(gangs.total)} gangs, ${number(gangs.never)} never stopped.`))

const slotsOf = ({ slots }: Report): string => slots === null ? '' : section(both('被拦黄牛的号源', 'Slots of intercepted scalper bookings'), [both('去向', 'what became of them'), both('号源', 'slots')], [
  [both('全部', 'all'), number(slots.kept)], [both('仍被确认', 'confirmed all the same'), number(slots.confirmed_all_the_same)],
  [both('退还', 'given back'), number(slots.given_back)], [both('患者约到', 'then taken by a patient'), number(slots.taken_by_patients)],
])

const KIND_WORDS = { scalper: both('黄牛', 'scalpers'), legit: both('患者', 'patients') }

const outcomesOf = ({ matrix, by_basis }: Report): string => [
  section(both('结果', 'Outcomes'), [both('标签', 'label'), ...OUTCOMES], LABEL_KINDS.map((kind) => [KIND_WORDS[kind], ...OUTCOMES.map((outcome) => number(matrix[kind][outcome]))])),
  section(both('结果与依据', 'Outcomes by basis'), [both('依据', 'basis'), KIND_WORDS.scalper, KIND_WORDS.legit], by_basis.map((row) => [`${row.basis} ${row.outcome}`, number(row.scalper), number(row.legit)])),
].join('\n')

const limitsOf = ({ policy }: Report): string => section(both('按公布限额', 'By a published limit'), [both('代码', 'code'), KIND_WORDS.scalper, KIND_WORDS.legit],
  policy.codes.map((row) => [escaped(row.code), number(row.scalper), number(row.legit)]), both('不计入以上拦截。', 'No interception in the figures above.'))

const reasonsOf = ({ reasons }: Report): string => section(both('原因代码', 'Reason codes'),
  [both('代码', 'code'), both('准确率', 'precision'), both('区间', 'interval'), KIND_WORDS.scalper, KIND_WORDS.legit],
  reasons.map((row) => [escaped(row.code), percent(row.precision.value), plot({ rate: row.precision, full: 1 }), number(row.scalper), number(row.legit)]))

const inputOf = ({ input }: Report): string => section(both('输入', 'Input'), [both('项目', 'what'), both('数量', 'count')], [
  [both('决定', 'decisions'), number(input.decisions)], [both('标签', 'labels'), number(input.labels)], [both('事件', 'events'), number(input.events)],
  [both('重复的决定', 'repeated decisions'), number(input.duplicate_decisions)], [both('矛盾的决定（未计）', 'conflicting decisions, not counted'), number(input.conflicting_decisions.count)],
  [both('矛盾的标签（未计）', 'conflicting labels, not counted'), number(input.conflicting_labels.count)],
  [both('标签矛盾的订单（未计）', 'orders with different labels, not counted'), number(input.contradictory_orders.count)],
  [both('没有决定的标签', 'labels without decision'), number(input.labels_without_decision.count)], [both('没有标签的决定', 'decisions without label'), number(input.decisions_without_label.count)],
])
