/** A thousand images from a PACS, pushed with the agent killed in the middle, and pulled in every way there is. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { Cli, runCli, type JsonLine } from "../support/cli.ts";
import { freePort, missingPacsTools, startOrthanc } from "../support/orthanc.ts";
import { makePacsFiles } from "../support/pacs-files.ts";
import { pushAndKill, type KillReport } from "../support/push-and-kill.ts";
import { atMost, UsageError, type Benchmark, type Figure } from "./bench.ts";

const FILES = 1000;
const SIDE_PX = 512;
const STUDIES = 50;
const KILL_AFTER = 400;

export const pacs: Benchmark = {
  name: "pacs",
  summary: "1,000 images pushed by dcmtk with the agent killed in the middle, and pulled from Orthanc",
  help: `--threads 2               reading threads
${FILES} files of ${SIDE_PX} x ${SIDE_PX} pixels of 16 bits in ${STUDIES} studies, every fifth in lossless JPEG, everything on this machine.`,
  run: async ({ threads }, log) => {
    const missing = missingPacsTools();
    if (missing !== null) throw new UsageError(`This benchmark needs ${missing}, which is not here.`);
    const folder = await mkdtemp(path.join(os.tmpdir(), "consilium-pacs-bench-"));
    try {
      log("writing files");
      const files = await makePacsFiles(path.join(folder, "in"), FILES, {
        sidePx: SIDE_PX,
        studies: STUDIES,
      });
      log("pushing, killing, pushing again");
      const report = await pushAndKill(
        await newHome(folder, "pushed"),
        await freePort(),
        files,
        KILL_AFTER,
        threads,
      );
      log("filling Orthanc");
      const port = await freePort();
      const orthanc = await startOrthanc(path.join(folder, "orthanc"), [{ aet: "CONSILIUM", port }]);
      const pulls: Figure[] = [];
      try {
        await orthanc.store(files.map((file) => file.path));
        const dimse = ["dimse", "--peer", `ORTHANC@127.0.0.1:${orthanc.dicomPort}`];
        const ways: readonly (readonly [string, readonly string[]])[] = [
          ["C-GET", dimse],
          ["C-MOVE", [...dimse, "--method", "move", "--port", String(port)]],
          ["DICOMweb", ["dicomweb", "--url", orthanc.webUrl]],
        ];
        for (const [name, way] of ways) {
          log(`pulling with ${name}`);
          pulls.push(...(await pullFigures(name, way, await newHome(folder, name), threads)));
        }
      } finally {
        await orthanc.stop();
      }
      return {
        results: [...pushFigures(report), ...pulls],
        targets: [
          atMost("images lost", report.lost, 0),
          atMost("images twice", report.twice, 0),
          atMost("files left in the spool", report.leftInSpool, 0),
        ],
        notes: [
          "pushes until the last is acknowledged; pulls from the program's start until all is in the cache",
        ],
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

function pushFigures(report: KillReport): readonly Figure[] {
  const { files, durationMs } = report.secondPush;
  return [
    { label: "pushed", value: report.sent, unit: "files" },
    { label: "acknowledged before the kill", value: report.acknowledgedBeforeKill, unit: "files" },
    { label: "sent again", value: report.sentAgain, unit: "files" },
    { label: "cached", value: report.cached, unit: "images" },
    { label: "set aside", value: report.quarantined, unit: "images" },
    { label: "push, after the kill", value: (files * 1000) / durationMs, unit: "files/s" },
  ];
}

async function pullFigures(
  name: string,
  way: readonly string[],
  home: string,
  threads: number,
): Promise<readonly Figure[]> {
  const args = ["pull", ...way, "--home", home, "--size", "32", "--threads", String(threads), "--json"];
  const start = performance.now();
  const cli = new Cli("site", args);
  const result = await cli.waitFor(({ event }: JsonLine) => event === "result");
  await cli.exited;
  if (result["received"] !== FILES) throw new Error(`${name} brought ${String(result["received"])} files`);
  return [{ label: `pull, ${name}`, value: (FILES * 1000) / (performance.now() - start), unit: "files/s" }];
}

async function newHome(folder: string, name: string): Promise<string> {
  const home = path.join(folder, `home-${name}`);
  await runCli("site", ["init", "--site", "bench", "--home", home, "--json"]);
  return home;
}
