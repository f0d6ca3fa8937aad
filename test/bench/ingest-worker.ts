/** A thread of the ingest benchmark: reads the files that it is given, header alone or pixels as well. */
import { framesOf } from "../../site-agent/src/ingest/decode/decode.ts";
import { readDicomFile } from "../../site-agent/src/ingest/header/file.ts";
import { quietThread } from "../../site-agent/src/ingest/quiet-thread.ts";

export interface ReadingTask {
  readonly paths: readonly string[];
  readonly pixels: boolean;
}

export interface ReadingResult {
  /** Of all values, so that no decoding can be left out. */
  readonly values: number;
}

const port = quietThread();

async function read({ paths, pixels }: ReadingTask): Promise<ReadingResult> {
  let values = 0;
  for (const path of paths) {
    const header = readDicomFile(
      path,
      () => undefined,
      () => pixels,
    );
    if (pixels) for await (const image of framesOf(header)) values += image.values.length;
  }
  return { values };
}

port.on("message", (task: ReadingTask) => {
  void read(task).then((result) => {
    port.postMessage(result);
  });
});
port.postMessage("ready");
