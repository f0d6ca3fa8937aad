/** What only the report has beside the house style. */
import { DATA_STYLE } from "@consilium/shared/page/data-style";

export const STYLE = `${DATA_STYLE}
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 16px 22px; }
.figures dt, .figures .sub { color: var(--dim); font-size: 13px; line-height: 1.4; }
.figures dd:not(.sub) { font-size: 24px; white-space: nowrap; font-weight: 650; letter-spacing: -.02em; line-height: 1.3; }
.figures .from { color: var(--dim); font-weight: 500; }
.list { list-style: none; display: grid; gap: 1px; }
.ok { color: var(--good); font-weight: 600; white-space: nowrap; }
.failed { color: var(--bad); font-weight: 600; white-space: nowrap; }
.pictures { display: grid; gap: 20px 28px; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); }
.triples { display: grid; gap: 6px; }
.triple { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 6px; }
.triple img { width: 100%; aspect-ratio: 1; display: block; border-radius: 5px; background: #000; }
.triple-head { color: var(--dim); font-size: 12.5px; }
.times { display: flex; margin: 2px 0 10px; height: 12px; gap: 2px; border-radius: 4px; overflow: hidden; }
.times span { background: currentColor; min-width: 2px; }
.two { display: grid; gap: 14px 36px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); align-items: start; }
.two tbody tr:first-child > * { border-top: 0; }
.two tbody td:last-child { text-align: right; overflow-wrap: anywhere; }
.two tbody th { font-weight: 400; color: var(--dim); }
@media (max-width: 640px) { .figures { grid-template-columns: 1fr 1fr; } .checks th { white-space: normal; } }
@media print {
  .figures dd:not(.sub) { font-size: 17px; }
  .figures { grid-template-columns: repeat(5, 1fr); gap: 10px; }
  .triple, .figures { break-inside: avoid; }
}
`;
