// Starts a program that is written in TypeScript, from source. Plain JavaScript without newer syntax, as are the files
// that import it, so that a Node.js that is too old says so instead of failing to parse.
const MIN_MAJOR = 20;
const MIN_MINOR = 19;
const UNSETTLED = 13;

/** @param {URL} main the program's own TypeScript file */
export function launch(main) {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < MIN_MAJOR || (major === MIN_MAJOR && minor < MIN_MINOR)) {
    console.error(
      `This Node.js is too old (${process.versions.node}).\n  code: node.too-old\n  next: Install Node.js ${MIN_MAJOR}.${MIN_MINOR} or newer.`,
    );
    process.exit(1);
  }
  // ONNX Runtime's published builds send usage events to their maker, keep an identifier of the machine for it, and read
  // this when they are loaded. Nothing of a hospital goes to anyone but its coordinator.
  process.env.ORT_DISABLE_TELEMETRY = "1";
  // As Node.js has it for a program that ends, since nothing is left to wait for, before it has come to its end.
  process.exitCode = UNSETTLED;
  // A failure is left to reject: Node ends with it, as with any error of a program's start.
  import("./start/run.mjs")
    .then(({ run }) => run(main))
    .then(() => {
      if (process.exitCode === UNSETTLED) process.exitCode = 0;
    });
}
