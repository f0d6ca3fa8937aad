/** The house style of pages that are one file: light, dark and printed. Pages add what only they have. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f3f5f7; --surface: #fff; --ink: #17212b; --dim: #566371; --hairline: #dfe5ea; --track: #e5eaee;
  --accent: #0b6b75; --good: #1d7a46; --bad: #b3261e; --warn: #e0a030;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1217; --surface: #141b22; --ink: #e4ebf1; --dim: #98a6b3; --hairline: #27323c; --track: #25303a;
    --accent: #4ec3c9; --good: #5cc98b; --bad: #ff8f86; --warn: #d99a2b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
main { max-width: 1000px; margin: 0 auto; padding: 36px 20px 56px; display: grid; gap: 18px; grid-template-columns: minmax(0, 1fr); }
h1, h2, h3, p, dl, dd, ul, figure { margin: 0; padding: 0; }
h1 { font-size: 31px; line-height: 1.2; letter-spacing: -.02em; font-weight: 650; text-wrap: balance; }
h2 { font-size: 18px; letter-spacing: -.01em; font-weight: 650; }
h3 { font-size: 14.5px; font-weight: 650; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
a { color: var(--accent); }
.dim, .note { color: var(--dim); }
.note { font-size: 13px; line-height: 1.5; max-width: 76ch; text-wrap: pretty; }
.eyebrow { color: var(--accent); font-weight: 600; font-size: 14px; }
.top { display: grid; gap: 6px; padding: 0 2px 8px; }
.top .lead { font-size: 17px; color: var(--dim); max-width: 66ch; text-wrap: pretty; }
.top .lead strong { color: var(--ink); font-weight: 600; }
section { background: var(--surface); border: 1px solid var(--hairline); border-radius: 10px; padding: 20px 22px; display: grid; gap: 14px; grid-template-columns: minmax(0, 1fr); }
.danger { color: var(--bad, #c92a2a); font-weight: 600; }
.caution { border-left: 3px solid var(--warn); padding-left: 12px; font-size: 14px; max-width: 80ch; }
footer { color: var(--dim); font-size: 13px; padding: 0 2px; display: flex; flex-wrap: wrap; gap: 4px 20px; }
@media (max-width: 640px) { main { padding: 22px 12px 36px; } section { padding: 16px 15px; } h1 { font-size: 25px; } }
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --surface: #fff; --ink: #000; --dim: #444; --hairline: #ccc; --track: #ddd;
    --accent: #0b6b75; --good: #1d7a46; --bad: #b3261e;
  }
  h1 { font-size: 24px; } .top .lead { font-size: 14px; }
  body { font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; gap: 10px; }
  section { border: 0; border-top: 1px solid var(--hairline); border-radius: 0; padding: 14px 0 6px; }
  figure, .caution { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
`;
