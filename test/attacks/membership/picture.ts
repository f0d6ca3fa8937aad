/** ROC curves as SVG. */
import type { RocPoint } from "../../../site-agent/src/downstream/rate-curves.ts";

export interface Curve {
  readonly label: string;
  readonly points: readonly RocPoint[];
  /** What is allowed, not what was measured. */
  readonly dashed?: boolean;
}

const SIDE = 320;
const MARGIN = 48;
const COLOURS = ["#868e96", "#e03131", "#1971c2", "#2f9e44", "#9c36b5", "#f08c00"];

export function rocPicture(curves: readonly Curve[]): string {
  const [width, height] = [SIDE + MARGIN + 16, SIDE + MARGIN + 16];
  const x = (rate: number): string => (MARGIN + rate * SIDE).toFixed(1);
  const y = (rate: number): string => (16 + (1 - rate) * SIDE).toFixed(1);
  const lines = curves.map(({ points, dashed = false }, i) => {
    const path = points.map(
      ({ falsePositiveRate, truePositiveRate }) => `${x(falsePositiveRate)},${y(truePositiveRate)}`,
    );
    return `<polyline points="${path.join(" ")}" fill="none" stroke="${colour(i)}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ""}/>`;
  });
  const legend = curves.map(({ label, dashed = false }, i) => {
    const at = SIDE + 4 - 18 * (curves.length - 1 - i);
    const line = `<line x1="${MARGIN + 110}" x2="${MARGIN + 134}" y1="${at - 4}" y2="${at - 4}" stroke="${colour(i)}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ""}/>`;
    return `${line}<text x="${MARGIN + 140}" y="${at}">${label}</text>`;
  });
  const ticks = [0, 0.5, 1].flatMap((rate) => [
    `<text x="${x(rate)}" y="${SIDE + 32}" text-anchor="middle">${rate}</text>`,
    `<text x="${MARGIN - 6}" y="${Number(y(rate)) + 4}" text-anchor="end">${rate}</text>`,
  ]);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<rect x="${MARGIN}" y="16" width="${SIDE}" height="${SIDE}" fill="none" stroke="#ced4da"/>
<line x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}" stroke="#ced4da"/>
${[...lines, ...legend, ...ticks].join("\n")}
<text x="${x(0.5)}" y="${SIDE + 52}" text-anchor="middle">others taken for members</text>
<text x="14" y="${y(0.5)}" text-anchor="middle" transform="rotate(-90 14 ${y(0.5)})">members found</text>
</svg>
`;
}

const colour = (i: number): string => COLOURS[i % COLOURS.length] ?? "black";
