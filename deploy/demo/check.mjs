// node check.mjs demo.json: fails unless the demo's numbers are whole and sane. Plain JavaScript, for a CI machine.
import { readFileSync } from "node:fs";

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("usage: node deploy/demo/check.mjs demo.json");
  process.exit(2);
}
const result = JSON.parse(readFileSync(file, "utf8"));
const problems = [];
const expect = (holds, text) => {
  if (!holds) problems.push(text);
};

expect(result.schemaVersion === 1, "unknown version of the file");
expect(result.hospitals.length >= 2, "fewer than two hospitals");
for (const { site, used, quarantined } of result.hospitals) {
  expect(used > 0, `${site} used no image`);
  if (result.data === "phantom") {
    expect(Object.keys(quarantined).length >= 3, `${site} set too few kinds of bad files aside`);
  }
}
const rounds = result.training.rounds;
expect(rounds.length === result.plan.rounds, "a round is missing");
for (const { round, loss, sites } of rounds) {
  expect(Number.isFinite(loss) && loss > 0, `round ${round} has no loss`);
  expect(sites.length === result.hospitals.length, `round ${round} lacks a site`);
}
expect(result.summary.loss.fall > 0, "the reconstruction loss did not fall");
expect(result.evaluations.length === result.hospitals.length, "a site was not evaluated");
for (const { site, rows } of result.evaluations) {
  for (const from of ["scratch", "global"]) {
    expect(
      rows.some((row) => row.from === from),
      `${site} was not evaluated from ${from}`,
    );
  }
  for (const { auroc } of rows) {
    expect(
      auroc.low <= auroc.value && auroc.value <= auroc.high,
      `${site}: an interval is not around its value`,
    );
    expect(auroc.low >= 0 && auroc.high <= 1, `${site}: an AUROC is not between 0 and 1`);
  }
}
for (const { site, images } of result.reconstructions) {
  expect(images.length > 0, `${site} reconstructed nothing`);
}
for (const { site, objects } of result.outflows) {
  expect(
    objects.some(({ count, bytes }) => count >= rounds.length && bytes > 0),
    `${site} sent too little`,
  );
}
for (const { name, value, target, ok } of result.checks) expect(ok, `${name}: ${value}, not ${target}`);
expect(!JSON.stringify(result).includes("CANARY"), "an identifier is among the results");

if (problems.length > 0) {
  for (const problem of problems) console.error(`demo: ${problem}`);
  process.exit(1);
}
console.log(
  `demo: ${rounds.length} rounds, loss fell by ${(100 * result.summary.loss.fall).toFixed(1)} %, all numbers in place`,
);
