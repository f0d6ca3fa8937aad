/** Name and version, as the coordinator and `--version` see them. */
import { createRequire } from "node:module";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

export const SOFTWARE = `consilium-site/${version}`;
