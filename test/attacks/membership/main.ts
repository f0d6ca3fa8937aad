/** `npm run membership -- --out DIR` prints who can be told from models with and without noise, and draws the ROC curves. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { createEngine } from "../../../site-agent/src/engine/engine.ts";
import { phantomCache, siteCache } from "./images.ts";
import { rocPicture, type Curve } from "./picture.ts";
import type { Separation } from "./scores.ts";
import { membership, type Exposure, type Setting } from "./study.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "membership" },
    cache: { type: "string" },
    patients: { type: "string", default: "1024" },
    rounds: { type: "string", default: "4" },
    epsilon: { type: "string", default: "1,8" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`npm run membership -- [options]
  --out DIR       where the ROC curves go (default membership)
  --cache DIR     a site's image cache instead of phantom radiographs, one image of each patient
  --patients N    phantom patients (default 1024): a quarter trains the attacker's model, a third of the rest is in the training
  --rounds N      rounds of 100 epochs (default 4): more of them leak more
  --epsilon A,B   with noise for each (default 1,8), beside once without
  --threads N     (default 2)
  --json          for programs`);
  process.exit(0);
}
const setting: Setting = {
  rounds: Number(values.rounds),
  localEpochs: 100,
  batchSize: 64,
  masks: 16,
  epsilons: values.epsilon.split(",").map(Number),
  attackersShare: 1 / 4,
  memberShare: 1 / 3,
};
const engine = await createEngine({ threads: Number(values.threads), device: "cpu" });
const cache =
  values.cache === undefined ? phantomCache(Number(values.patients)) : await siteCache(values.cache);
const { members, others, exposures } = await membership(engine, cache, setting, (line) => {
  console.error(line);
});
cache.close();
await mkdir(values.out, { recursive: true });
await writeFile(path.join(values.out, "membership.svg"), rocPicture(exposures.flatMap(curvesOf)));
if (values.json) console.log(JSON.stringify({ members, others, exposures }));
else {
  console.log(`${members} members, ${others} others; AUROC, and members found at 1 % of others accused`);
  for (const exposure of exposures) for (const line of describe(exposure)) console.log(line);
}

function curvesOf({ what, byLoss, byReference, allowed }: Exposure): Curve[] {
  return [
    { label: what, points: (byReference ?? byLoss).roc },
    ...(allowed === null ? [] : [{ label: `${what} allows`, points: allowed.roc, dashed: true }]),
  ];
}

function describe({ what, byLoss, byReference, memberLoss, otherLoss, allowed }: Exposure): string[] {
  return [
    `${what}: loss ${memberLoss.toFixed(3)} of members, ${otherLoss.toFixed(3)} of others`,
    `  by loss            ${figures(byLoss)}`,
    ...(byReference === null ? [] : [`  against a reference ${figures(byReference)}`]),
    ...(allowed === null
      ? []
      : [
          `  allowed            ${allowed.auroc.toFixed(3)}; ${percent(allowed.found)}; advantage ${allowed.advantage.toFixed(3)}`,
        ]),
  ];
}

function figures({ auroc, found, advantage }: Separation): string {
  return `${auroc.value.toFixed(3)} (${bounds(auroc, (v) => v.toFixed(3))}); ${percent(found.value)} (${bounds(found, percent)}); advantage ${advantage.toFixed(3)}`;
}

const bounds = ({ low, high }: Separation["auroc"], text: (value: number) => string): string =>
  low === null || high === null ? "no interval" : `${text(low)} to ${text(high)}`;

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
