/**
 * Makes the vectors again from their inputs: `npx tsx test/vectors/secagg/make.ts`. Only for a change of the protocol that
 * is meant; test/contract/secagg-vectors.test.ts shows one that is not.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { playSecagg, secaggInputsSchema } from "../../support/secagg-transcript.ts";
import { playGroups, playRing } from "../../support/secagg-ring.ts";

const file = (name: string) => new URL(name, import.meta.url);
const write = (name: string, value: unknown): void => {
  writeFileSync(file(name), `${JSON.stringify(value, null, 2)}\n`);
};

const inputs = z.object({ inputs: secaggInputsSchema });
const { wide, narrow } = z
  .object({ wide: inputs, narrow: inputs })
  .parse(JSON.parse(readFileSync(file("attempts.json"), "utf8")));
const played = (one: typeof wide) => ({ inputs: one.inputs, outputs: playSecagg(one.inputs) });
write("attempts.json", { wide: played(wide), narrow: played(narrow) });
write("ring.json", playRing());
write("groups.json", playGroups());
