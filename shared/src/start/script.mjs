// What threads and processes begin with that run a TypeScript file; its URL is their first argument.
import { run } from "./run.mjs";

const [node, , script, ...rest] = process.argv;
process.argv = [node, script, ...rest];
await run(new URL(script));
