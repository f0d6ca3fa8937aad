// Plain JavaScript, so that a Node.js that is too old says so instead of failing to parse.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `This Node.js is too old (${process.versions.node}).\n  code: node.too-old\n  next: Install Node.js 20.19 or newer.`,
  );
  process.exit(1);
}
const { register } = await import("tsx/esm/api");
register();
await import("./main.ts");
