/** The thread that decodes files for `consilium-site decode`. */
import { toConsiliumError } from "@consilium/shared/errors";
import { quietThread } from "../quiet-thread.ts";
import type { WorkerReply } from "../worker-pool.ts";
import { decodeFile, type DecodeFileOptions } from "./decode-file.ts";
import type { DecodeOutcome } from "./decode-pool.ts";

const port = quietThread();

const reply = (answer: WorkerReply<DecodeOutcome>): void => {
  port.postMessage(answer);
};

async function outcomeOf(task: DecodeFileOptions): Promise<DecodeOutcome> {
  try {
    const report = await decodeFile(task, () => {
      reply("alive");
    });
    return { outcome: "decoded", report };
  } catch (error) {
    const { code, detail } = toConsiliumError(error);
    return { outcome: "failed", code, ...(detail === undefined ? {} : { detail }) };
  }
}

port.on("message", (task: DecodeFileOptions) => {
  void outcomeOf(task).then(reply);
});
reply("ready");
