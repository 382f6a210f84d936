"""The look of the reports: light, dark, and on paper. Texts have a contrast of 4.5 : 1 at least; no
colour stands alone for what is right: each has its sign or word beside it."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff;
  --line: #d0d7de; --tint: #f6f8fa; --right: #1a7f5a; --wrong: #b35900; --partly: #a8d5c3;
  --track: #eaeef2; --bar: #1a7f5a; --first: #8c959f; --second: #0969da; --whisker: #1b1f24 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9ba6b2; --paper: #0d1117; --line: #30363d; --tint: #161b22;
    --right: #3fb68b; --wrong: #e3954a; --partly: #1f5c48; --track: #21262d; --bar: #238a63;
    --first: #6e7781; --second: #4493f8; --whisker: #ffffff }
}
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line);
  padding-bottom: .25rem }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem }
p { margin: .5rem 0 } a { color: inherit }
.soft, small, caption, figcaption { color: var(--soft); font-size: .875rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .75rem .9rem;
  background: var(--tint) }
.card b { display: block; font-size: 1.35rem; line-height: 1.3; white-space: nowrap;
  font-variant-numeric: tabular-nums }
.card span, .card small { display: block }
svg { width: 100%; height: auto; display: block }
figure { margin: 1rem 0 } figcaption { margin-top: .35rem }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) }
svg .value { fill: var(--soft); font-variant-numeric: tabular-nums }
svg .track { fill: var(--track) } svg .right { fill: var(--bar) }
svg .wrong { fill: var(--wrong) } svg .partly { fill: var(--partly) }
svg .first { fill: var(--first) } svg .second { fill: var(--second) }
svg .whisker { stroke: var(--whisker); fill: none; stroke-width: 1.5 }
svg .axis { stroke: var(--soft); fill: none }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
  margin: 0 .3em 0 .8em }
.key .first { background: var(--first) } .key .second { background: var(--second) }
.key .right { background: var(--bar) } .key .partly { background: var(--partly) }
.key .wrong { background: var(--wrong) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0 }
caption { text-align: left; padding-bottom: .35rem }
td, th { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left }
table.figures { width: 100% }
table.figures td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
thead th { background: var(--tint) } tbody th { font-weight: 500 }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0 }
summary { cursor: pointer; padding: .5rem .75rem; border-radius: 8px }
summary:hover { background: var(--tint) }
summary:focus-visible, a:focus-visible, input:focus-visible { outline: 2px solid var(--right);
  outline-offset: 2px }
details > div { padding: .25rem .9rem .9rem }
details details { margin: .6rem 0 }
summary .id { font-weight: 600 } summary .asked { color: var(--soft) }
.mark { display: inline-block; min-width: 1.3em; font-weight: 700 }
.mark.right { color: var(--right) } .mark.wrong { color: var(--wrong) }
.answer { border-left: 3px solid var(--line); padding: .1rem 0 .1rem 1rem; overflow-x: auto }
.answer h4 { margin: .75rem 0 .25rem }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem .75rem; overflow: auto; font-size: .82rem; line-height: 1.45; max-height: 32rem }
code { font-family: ui-monospace, monospace }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0 }
dt { color: var(--soft) } dd { margin: 0 }
fieldset { border: 0; padding: 0; margin: .5rem 0; display: flex; flex-wrap: wrap;
  gap: .25rem 1.25rem }
legend { float: left; padding: 0 .75rem 0 0 }
body:has(#only-wrong:checked) .question.is-right,
body:has(#only-right:checked) .question.is-wrong { display: none }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem }
.two > div { min-width: 0 }
@media print {
  :root { --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --tint: #f4f4f4; --right: #1a7f5a;
    --wrong: #b35900; --partly: #a8d5c3; --track: #eee; --bar: #1a7f5a;
    --first: #8c959f; --second: #0969da; --whisker: #000 }
  body { max-width: none; padding: 0; font-size: 10.5pt }
  * { print-color-adjust: exact }
  .wide { overflow: visible } table.figures { font-size: 7.5pt }
  .three { grid-template-columns: repeat(3, 1fr) }
  td, th { padding: .15rem .35rem } fieldset { display: none }
  pre { max-height: none; white-space: pre-wrap }
  figure, .card, tr { break-inside: avoid } h2, h3, summary { break-after: avoid }
}
""".strip()
