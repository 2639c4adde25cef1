/** Colours as [light, dark]. Words keep 4.5:1 on the paper, marks 3:1 (WCAG AA); a test holds them to it. */
export const COLOURS = {
  paper: ['#ffffff', '#14171c'], ink: ['#1c2128', '#e6e9ee'], quiet: ['#57606a', '#a3adb9'], rule: ['#d0d7de', '#343b45'],
  mark: ['#0b57a4', '#7cb7ff'], band: ['#6b8fb8', '#4f7fb5'], limit: ['#9a3412', '#f0a878'], met: ['#1a6b35', '#6fd08c'], missed: ['#b42318', '#ff9a8f'],
} as const satisfies Readonly<Record<string, readonly [light: string, dark: string]>>

const variables = (theme: 0 | 1): string => Object.entries(COLOURS).map(([name, colours]) => `--${name}:${colours[theme]}`).join(';')

export const STYLE = `
:root{${variables(0)}}
@media (prefers-color-scheme:dark){:root{${variables(1)}}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.3}
h2{font-size:1.15rem;margin:2rem 0 .5rem}
.en,.note{color:var(--quiet);font-weight:400}
.note{margin:.25rem 0}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--mark)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
thead th{font-size:.875rem}
tbody th{font-weight:600;overflow-wrap:break-word;min-width:6.5rem}
td{white-space:nowrap}
svg{display:block;width:9rem;margin:.15rem .5rem 0;overflow:visible}
circle{fill:var(--mark)}
.track{fill:var(--rule)}
.band{fill:var(--band)}
.limit{stroke:var(--limit);stroke-width:2;stroke-dasharray:4 2}
.met{color:var(--met);font-weight:600}
.missed{color:var(--missed);font-weight:600}
@media (max-width:34rem){.verdict{display:block}th,td{padding-right:.5rem}tbody th{min-width:4rem;max-width:6.5rem}svg{width:6.5rem}}
@media print{.scroll{overflow:visible}}
`
