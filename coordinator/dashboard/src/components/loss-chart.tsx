/** uPlot in React: built once per shape and colour scheme, fed new data without being rebuilt. */
import { useEffect, useRef, useState, type ReactNode } from "react";
import UPlot from "uplot";
import type { LossCurves } from "../derive.ts";
import { siteLine } from "../theme.ts";

interface LossChartProps {
  readonly curves: LossCurves;
  /** Of the whole plan: the axis shows how far there is to go. */
  readonly rounds: number;
  readonly scheme: "light" | "dark";
  readonly label: string;
}

/** What the cursor points at. */
interface Reading {
  readonly round: number;
  readonly values: readonly { readonly name: string; readonly loss: number; readonly color: string }[];
  readonly leftPx: number;
  readonly onRight: boolean;
}

const HEIGHT_PX = 268;

export function LossChart({ curves, rounds, scheme, label }: LossChartProps): ReactNode {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<UPlot | null>(null);
  const latest = useRef(curves);
  const [reading, setReading] = useState<Reading | null>(null);
  const names = curves.sites.map(({ site }) => site).join(" ");

  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const plot = new UPlot(
      options(element, latest.current, rounds, scheme, (index, leftPx) => {
        setReading(
          index === null ? null : readingAt(latest.current, index, leftPx, element.clientWidth, scheme),
        );
      }),
      toData(latest.current),
      element,
    );
    chart.current = plot;
    const observer = new ResizeObserver(() => {
      plot.setSize({ width: element.clientWidth, height: HEIGHT_PX });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
      chart.current = null;
    };
  }, [names, rounds, scheme]);

  useEffect(() => {
    latest.current = curves;
    chart.current?.setData(toData(curves));
  }, [curves]);

  return (
    <div
      className="chart"
      role="img"
      aria-label={label}
      data-testid="loss-chart"
      data-points={curves.rounds.length}
    >
      <div ref={host} />
      {reading !== null && (
        <div
          className="reading"
          aria-hidden
          style={
            reading.onRight
              ? { right: `calc(100% - ${reading.leftPx - 12}px)` }
              : { left: reading.leftPx + 12 }
          }
        >
          <strong>Round {reading.round}</strong>
          {reading.values.map(({ name, loss, color }) => (
            <span key={name}>
              <i style={{ background: color }} />
              {name}
              <b>{loss.toFixed(3)}</b>
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

function toData({ rounds, global, sites }: LossCurves): UPlot.AlignedData {
  return [[...rounds], ...sites.map(({ losses }) => [...losses]), [...global]];
}

function readingAt(
  { rounds, global, sites }: LossCurves,
  index: number,
  leftPx: number,
  widthPx: number,
  scheme: "light" | "dark",
): Reading | null {
  const round = rounds[index];
  if (round === undefined) return null;
  const values = [
    { name: "All sites", loss: global[index] ?? null, color: "var(--ink)" },
    ...sites.map(({ site, losses }, position) => ({
      name: site,
      loss: losses[index] ?? null,
      color: siteLine(position, scheme).color,
    })),
  ].flatMap(({ name, loss, color }) => (loss === null ? [] : [{ name, loss, color }]));
  return { round, values, leftPx, onRight: leftPx > widthPx / 2 };
}

function options(
  element: HTMLElement,
  curves: LossCurves,
  rounds: number,
  scheme: "light" | "dark",
  onCursor: (index: number | null, leftPx: number) => void,
): UPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink");
  const dimmed = style.getPropertyValue("--mantine-color-dimmed");
  const hairline = style.getPropertyValue("--hairline");
  const font = `11.5px ${style.getPropertyValue("--mantine-font-family")}`;
  const axis: UPlot.Axis = {
    stroke: dimmed,
    font,
    grid: { stroke: hairline, width: 1 },
    ticks: { show: false },
    gap: 6,
  };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: false, range: [1, Math.max(2, rounds)] }, y: { range: lossRange } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000],
      },
      { ...axis, size: 46, values: (_, splits) => splits.map((split) => split.toFixed(2)) },
    ],
    series: [
      {},
      ...curves.sites.map((_, index): UPlot.Series => {
        const { color, dashed } = siteLine(index, scheme);
        return { stroke: color, width: 1.4, points: { size: 4 }, ...(dashed ? { dash: [5, 4] } : {}) };
      }),
      // Last, so that it is drawn over the sites.
      { stroke: ink, width: 2.5, points: { size: 5 } },
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const { idx, left } = plot.cursor;
          onCursor(idx ?? null, (left ?? 0) + plot.bbox.left / devicePixelRatio);
        },
      ],
    },
  };
}

/** Never so narrow that noise looks like progress. */
function lossRange(_: UPlot, low: number | null, high: number | null): UPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const margin = Math.max(0.02, (high - low) * 0.08);
  return [Math.max(0, low - margin), high + margin];
}
