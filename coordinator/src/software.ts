/** Name and version, as `--version` shows them. */
import { createRequire } from "node:module";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

export const SOFTWARE = `consilium-coordinator/${version}`;
