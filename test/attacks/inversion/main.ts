/** `npm run inversion -- --out DIR` prints what gradient inversion finds and writes the pictures. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "../../../site-agent/src/engine/tf.ts";
import { inversions } from "./study.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "inversion" },
    victims: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
  },
});
await tf.setBackend("cpu");
const { found, sheet } = inversions(Number(values.victims));
await mkdir(values.out, { recursive: true });
await writeFile(path.join(values.out, "inversion.png"), sheet);
if (values.json) console.log(JSON.stringify({ found }));
else {
  console.log("PSNR of the hidden patches, and above another patient's image");
  for (const { what, psnr, gain } of found) {
    console.log(`${psnr.toFixed(1).padStart(6)} dB ${gain.toFixed(1).padStart(6)} dB  ${what}`);
  }
}
