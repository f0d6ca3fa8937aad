import type { RoundEvaluation, RoundMasks } from "@consilium/shared/evaluation/schema";
import { ALARM_ROUNDS } from "@consilium/shared/health/alarm";
import { spreadOf } from "@consilium/shared/health/moments";
import type { RoundHealth } from "@consilium/shared/health/schema";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ReactNode } from "react";
import { completedRounds } from "../derive.ts";

/** Rounds that are shown; the others are in the status. */
const SHOWN = 6;

interface Column {
  readonly title: string;
  /** For whoever points at the title. */
  readonly meaning: string;
  readonly text: (health: RoundHealth, evaluation?: RoundEvaluation, masks?: RoundMasks) => string;
}

const percent = (share: number | null): string => (share === null ? "–" : `${(share * 100).toFixed(0)} %`);
const loss = (value: number | null): string => (value === null ? "–" : value.toFixed(3));

const SPREAD = "Spread";

const FEATURES: readonly Column[] = [
  {
    title: SPREAD,
    meaning:
      "How differently images are described, beside evenly spread features: 100 % at best, 0 % if every image is described alike",
    text: (health) => percent(spreadOf(health, health.width)),
  },
  {
    title: "RankMe",
    meaning: "In how many directions features differ, of all that there are",
    text: ({ rankMe, width }) => `${rankMe.toFixed(1)} of ${width}`,
  },
  {
    title: "Participation",
    meaning: "The same, counting only directions in which they differ much (participation ratio)",
    text: ({ participationRatio }) => participationRatio.toFixed(1),
  },
  {
    title: "View distance",
    meaning:
      "How far two altered views of one image lie apart (mean squared distance): 0 alike, 2 nothing in common",
    text: ({ alignment }) => alignment.toFixed(3),
  },
];

const HELD_OUT: readonly Column[] = [
  {
    title: "Loss, held out",
    meaning: "The loss on images set aside",
    text: ({ heldOutLoss }) => loss(heldOutLoss),
  },
  {
    title: "Mean answer",
    meaning: "The loss there of always answering with the mean grey: the model should do better",
    text: ({ meanAnswerLoss }) => loss(meanAnswerLoss),
  },
];

const LABELLED: readonly Column[] = [
  {
    title: "Neighbours right",
    meaning: "Labelled images whose nearest neighbours have the same label",
    text: ({ neighbours }) => percent(neighbours),
  },
  {
    title: "Probe right",
    meaning: "Labelled images that a linear classifier on the features gets right",
    text: ({ probe }) => percent(probe),
  },
  {
    title: "Commonest class",
    meaning: "What always saying the commonest class gets right: what the two before should beat",
    text: ({ commonest }) => percent(commonest),
  },
];

/** One for each class that sites' scores were added up of. */
function evaluated(evaluations: readonly (RoundEvaluation | undefined)[]): readonly Column[] {
  const classes = evaluations.findLast((one) => one !== undefined)?.classes ?? [];
  return classes.map(({ class: name }) => ({
    title: `AUROC, ${name}`,
    meaning:
      "How well scores tell this class from the others, of all sites together: 0.5 is chance, 1 perfect; in brackets the 95 % interval",
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
    meaning: "Overlap of the masks that people drew with those that were found: 1 at best",
    text: (_health, _evaluation, found) =>
      found?.classes.find((one) => one.class === name)?.dice?.toFixed(3) ?? "–",
  }));
}

const isLow = (health: RoundHealth, leastSpread: number): boolean =>
  spreadOf(health, health.width) < leastSpread;

/** Whether the encoder still tells images apart. Nothing before the first round, or where the plan does not look. */
export function HealthCard({ status }: { readonly status: FederationStatus }): ReactNode {
  const rows = completedRounds(status)
    .flatMap(({ round, health, totals }) =>
      health === null ? [] : [{ round, health, evaluation: totals?.evaluation, masks: totals?.masks }],
    )
    .slice(-SHOWN)
    .toReversed();
  if (rows.length === 0) return null;
  const { leastSpread = 0 } = status.plan.health ?? {};
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
              {columns.map(({ title, meaning }) => (
                <th key={title} scope="col" className="number" title={meaning}>
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
                  <td
                    key={title}
                    className={title === SPREAD && isLow(health, leastSpread) ? "number unlike" : "number"}
                  >
                    {text(health, evaluation, masks)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.some(({ health }) => isLow(health, leastSpread)) && (
        <p className="caution" data-testid="low-spread">
          A spread below {percent(leastSpread)} is marked: the encoder says nearly the same of every image.
          Where it stays so for {ALARM_ROUNDS} rounds, does not come back and labels do not say otherwise, the
          federation pauses.
        </p>
      )}
    </section>
  );
}
