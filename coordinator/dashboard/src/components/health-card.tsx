import type { RoundEvaluation, RoundMasks } from "@consilium/shared/evaluation/schema";
import { spreadOf } from "@consilium/shared/health/moments";
import type { RoundHealth } from "@consilium/shared/health/schema";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ReactNode } from "react";
import { completedRounds } from "../derive.ts";

/** Rounds that are shown; the others are in the status. */
const SHOWN = 6;

interface Column {
  readonly title: string;
  readonly text: (health: RoundHealth, evaluation?: RoundEvaluation, masks?: RoundMasks) => string;
}

const percent = (share: number | null): string => (share === null ? "–" : `${(share * 100).toFixed(0)} %`);
const loss = (value: number | null): string => (value === null ? "–" : value.toFixed(3));

const FEATURES: readonly Column[] = [
  { title: "Spread", text: (health) => percent(spreadOf(health, health.width)) },
  { title: "RankMe", text: ({ rankMe, width }) => `${rankMe.toFixed(1)} of ${width}` },
  { title: "Participation", text: ({ participationRatio }) => participationRatio.toFixed(1) },
  { title: "View distance", text: ({ alignment }) => alignment.toFixed(3) },
];

const HELD_OUT: readonly Column[] = [
  { title: "Loss, held out", text: ({ heldOutLoss }) => loss(heldOutLoss) },
  { title: "Mean answer", text: ({ meanAnswerLoss }) => loss(meanAnswerLoss) },
];

const LABELLED: readonly Column[] = [
  { title: "Neighbours right", text: ({ neighbours }) => percent(neighbours) },
  { title: "Probe right", text: ({ probe }) => percent(probe) },
  { title: "Commonest class", text: ({ commonest }) => percent(commonest) },
];

/** One for each class that sites' scores were added up of. */
function evaluated(evaluations: readonly (RoundEvaluation | undefined)[]): readonly Column[] {
  const classes = evaluations.findLast((one) => one !== undefined)?.classes ?? [];
  return classes.map(({ class: name }) => ({
    title: `AUROC, ${name}`,
    text: (_, evaluation) => {
      const auroc = evaluation?.classes.find((one) => one.class === name)?.auroc ?? null;
      if (auroc === null) return "–";
      return `${auroc.value.toFixed(3)} (${auroc.low.toFixed(3)} to ${auroc.high.toFixed(3)})`;
    },
  }));
}

/** A column for each class of masks, as the newest round with any has them. */
function overlapped(masks: readonly (RoundMasks | undefined)[]): readonly Column[] {
  const classes = masks.findLast((one) => one !== undefined)?.classes ?? [];
  return classes.map(({ class: name }) => ({
    title: `Dice, ${name}`,
    text: (_health, _evaluation, found) =>
      found?.classes.find((one) => one.class === name)?.dice?.toFixed(3) ?? "–",
  }));
}

/** Whether the encoder still tells images apart. Nothing before the first round, or where the plan does not look. */
export function HealthCard({ status }: { readonly status: FederationStatus }): ReactNode {
  const rows = completedRounds(status)
    .flatMap(({ round, health, totals }) =>
      health === null ? [] : [{ round, health, evaluation: totals?.evaluation, masks: totals?.masks }],
    )
    .slice(-SHOWN)
    .toReversed();
  if (rows.length === 0) return null;
  const columns = [
    ...FEATURES,
    ...(rows.some(({ health }) => health.heldOutLoss !== null) ? HELD_OUT : []),
    ...(rows.some(({ health }) => health.probe !== null) ? LABELLED : []),
    // Newest first.
    ...evaluated(rows.map(({ evaluation }) => evaluation).toReversed()),
    ...overlapped(rows.map(({ masks }) => masks).toReversed()),
  ];
  return (
    <section className="card" aria-labelledby="health-title">
      <div className="card-head">
        <h2 id="health-title">Does the encoder tell images apart?</h2>
        <span className="dimmed">of the model that each round started from, over all sites together</span>
      </div>
      <div className="scroll" tabIndex={0} role="region" aria-label="Health, scrollable">
        <table className="images" data-testid="health">
          <thead>
            <tr>
              <th scope="col">Round</th>
              {columns.map(({ title }) => (
                <th key={title} scope="col" className="number">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ round, health, evaluation, masks }) => (
              <tr key={round} data-testid={`health-${round}`}>
                <th scope="row">{round}</th>
                {columns.map(({ title, text }) => (
                  <td key={title} className="number">
                    {text(health, evaluation, masks)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
