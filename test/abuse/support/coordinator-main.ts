/** A coordinator as a process of its own, so that its memory is its own. Its settings are the first argument, as JSON. */
import { setTimeout as delay } from "node:timers/promises";
import { startCoordinator, type CoordinatorOptions } from "../../../coordinator/src/app.ts";

const { url, operatorToken } = await startCoordinator(
  JSON.parse(process.argv[2] ?? "{}") as CoordinatorOptions,
);
process.send?.({ url, operatorToken });

/** Answers any message with what it holds after tidying up, in bytes. */
process.on("message", () => {
  void (async () => {
    // Buffers are freed by finalizers, after the collection.
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await delay(20);
    }
    process.send?.({ rss: process.memoryUsage.rss() });
  })();
});
process.on("disconnect", () => process.exit());
