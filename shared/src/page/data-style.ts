/** Tables, charts and their colours, beside the house style. */
export const DATA_STYLE = `
:root {
  --s0: #c8541b; --s1: #2f6fb3; --s2: #8a6d00; --s3: #9b3d82; --s4: #1f8a5f; --s5: #5b56b8; --s6: #a3403f; --s7: #4d6b7a;
  --scratch: #8894a0; --own: #b5730f; --edge: rgb(23 33 43 / 26%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --s0: #f29064; --s1: #79b2ee; --s2: #d8bd4c; --s3: #e08cc9; --s4: #5fcf9f; --s5: #a9a4f5; --s6: #ee8d8b; --s7: #9fb9c7;
    --scratch: #8b99a6; --own: #e3a953; --edge: rgb(228 235 241 / 26%);
  }
}
/* A shadow lies on the side where there is more to see; the first two layers scroll along and hide it at an end. */
.scroll {
  overflow-x: auto;
  background:
    linear-gradient(to right, var(--surface) 40%, transparent) left / 36px 100%,
    linear-gradient(to left, var(--surface) 40%, transparent) right / 36px 100%,
    linear-gradient(to right, var(--edge), transparent) left / 14px 100%,
    linear-gradient(to left, var(--edge), transparent) right / 14px 100%;
  background-attachment: local, local, scroll, scroll; background-repeat: no-repeat;
}
.for-narrow { display: none; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
thead th { color: var(--dim); font-weight: 500; font-size: 13px; text-align: left; padding: 0 16px 6px 0; white-space: nowrap; vertical-align: bottom; }
tbody th, tbody td { border-top: 1px solid var(--hairline); padding: 7px 16px 7px 0; text-align: left; vertical-align: top; font-weight: 400; }
tbody th { font-weight: 600; white-space: nowrap; }
tr.follows > * { border-top-style: dotted; }
tr:not(.follows) > :last-child { padding-right: 0; }
.start { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
tbody td.number, thead th.start { white-space: nowrap; }
.number { text-align: right; }
.best { font-weight: 650; }
.best .dim { font-weight: 400; }
.chart { display: block; width: 100%; height: auto; font-size: 12.5px; overflow: visible; }
.chart text { fill: var(--ink); }
.chart .tick { fill: var(--dim); font-size: 12px; }
.chart .grid { stroke: var(--hairline); }
.chart .chance { stroke: var(--dim); stroke-dasharray: 3 3; }
.chart .group { font-weight: 600; font-size: 13.5px; }
.chart .row { fill: var(--dim); }
.chart .value { font-weight: 600; }
.chart polyline { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round; }
.chart circle { fill: currentColor; }
.chart .whisker { fill: none; stroke: currentColor; stroke-width: 1.6; }
.chart .run { fill: var(--surface); stroke: currentColor; stroke-width: 1.2; }
.chart .global polyline { stroke-width: 3; }
.chart.square .tick { font-size: 11px; }
.chart .dashed { stroke-dasharray: 5 3.5; }
.chart .disc { fill-opacity: .55; }
.chart .frame { fill: none; stroke: var(--hairline); }
.chart .mark { fill: currentColor; fill-opacity: .7; }
.charts { list-style: none; display: grid; gap: 18px 22px; grid-template-columns: repeat(auto-fit, minmax(min(270px, 100%), 1fr)); }
.charts li { display: grid; gap: 8px; align-content: start; max-width: 430px; }
.charts th .dim { font-weight: 400; }
.c-global, .global { color: var(--ink); }
.c-scratch { color: var(--scratch); } .c-own { color: var(--own); } .c-federated { color: var(--accent); } .c-reference { color: var(--s5); }
${Array.from({ length: 8 }, (_, index) => `.s${index} { color: var(--s${index}); }`).join(" ")}
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; }
.legend li::before { content: ""; display: inline-block; width: 18px; border-top: 2.5px solid currentColor; margin-right: 8px; vertical-align: 4px; }
.legend li.dashed::before { border-top-style: dashed; }
.legend span { color: var(--dim); }
@media (max-width: 640px) { .wide { min-width: 680px; } .for-wide { display: none; } .for-narrow { display: block; } }
@media print {
  :root {
    --s0: #c8541b; --s1: #2f6fb3; --s2: #8a6d00; --s3: #9b3d82; --s4: #1f8a5f; --s5: #5b56b8; --s6: #a3403f; --s7: #4d6b7a;
    --scratch: #77828d; --own: #a5660a;
  }
  .scroll { overflow: visible; background: none; }
  .wide { min-width: 0; }
  .for-wide { display: block; } .for-narrow { display: none; }
  table { font-size: 10.5px; }
  tbody th, tbody td, thead th { padding-right: 9px; padding-top: 4px; padding-bottom: 4px; }
  tr, .chart { break-inside: avoid; }
}
`;
