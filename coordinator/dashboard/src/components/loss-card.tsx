import type { FederationStatus } from "@consilium/shared/protocol/http";
import { useComputedColorScheme } from "@mantine/core";
import { useMemo, type ReactNode } from "react";
import { formatLoss, formatPercentChange, lossChange, lossCurves } from "../derive.ts";
import { siteLine } from "../theme.ts";
import { LossChart } from "./loss-chart.tsx";

/** What the curve is of. */
const LOSS_TITLES = {
  mae: "Reconstruction loss",
  restoration: "Restoration loss",
  simclr: "Contrastive loss",
  mocov3: "Contrastive loss",
  vicreg: "VICReg loss",
  classify: "Classification loss",
  findings: "Loss on findings",
  masks: "Segmentation loss",
} as const satisfies Record<FederationStatus["plan"]["pretext"]["task"], string>;

export function LossCard({ status }: { readonly status: FederationStatus }): ReactNode {
  const scheme = useComputedColorScheme("light");
  const curves = useMemo(() => lossCurves(status), [status]);
  const change = lossChange(status);
  const label =
    change === null
      ? "Loss by round: nothing yet."
      : `Loss by round: ${formatLoss(change.first)} in the first, ${formatLoss(change.last)} in the newest (${formatPercentChange(change.change)}).`;
  return (
    <section className="card loss" aria-labelledby="loss-title">
      <div className="card-head">
        <h2 id="loss-title">{LOSS_TITLES[status.plan.pretext.task]}</h2>
        <ul className="legend">
          <li>
            <span className="swatch swatch-global" aria-hidden />
            All sites
          </li>
          {curves.sites.map(({ site }, index) => {
            const { color, dashed } = siteLine(index, scheme);
            return (
              <li key={site}>
                <span
                  className="swatch"
                  style={{ borderTopColor: color, borderTopStyle: dashed ? "dashed" : "solid" }}
                  aria-hidden
                />
                {site}
              </li>
            );
          })}
        </ul>
      </div>
      <LossChart curves={curves} rounds={status.rounds} scheme={scheme} label={label} />
      {curves.rounds.length === 0 && <p className="empty">The curve begins with the first round.</p>}
    </section>
  );
}
