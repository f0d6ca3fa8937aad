/** A real Orthanc with its DICOMweb plugin, on loopback, with a folder of its own (Debian: orthanc, orthanc-dicomweb). */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const BINARY = ["/usr/sbin/Orthanc", "/usr/bin/Orthanc"].find(existsSync);
const PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";
const DCMTK = ["storescu", "echoscu", "dcmodify"];

/** What is not here of what the PACS tests need, or null. */
export function missingPacsTools(): string | null {
  if (DCMTK.some((tool) => spawnSync(tool, ["--version"]).error !== undefined))
    return "dcmtk (Debian: dcmtk)";
  if (BINARY === undefined || !existsSync(PLUGIN)) return "Orthanc (Debian: orthanc, orthanc-dicomweb)";
  return null;
}

export interface Modality {
  readonly aet: string;
  readonly port: number;
}

export interface Orthanc {
  readonly aet: string;
  readonly dicomPort: number;
  readonly webUrl: string;
  /** Puts files into it over its own REST interface. */
  store(files: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** A port that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** @param more settings besides the usual ones */
export async function startOrthanc(
  folder: string,
  modalities: readonly Modality[],
  more: Readonly<Record<string, unknown>> = {},
): Promise<Orthanc> {
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  await mkdir(folder, { recursive: true });
  const config = path.join(folder, "orthanc.json");
  await writeFile(
    config,
    JSON.stringify({
      Name: "test",
      StorageDirectory: path.join(folder, "db"),
      IndexDirectory: path.join(folder, "db"),
      Plugins: [PLUGIN],
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      HttpPort: httpPort,
      DicomPort: dicomPort,
      DicomAet: "ORTHANC",
      DicomAlwaysAllowStore: false,
      DicomAlwaysAllowEcho: false,
      DicomCheckModalityHost: true,
      DicomModalities: Object.fromEntries(
        modalities.map(({ aet, port }) => [
          aet,
          { AET: aet, Host: "127.0.0.1", Port: port, AllowGet: true, AllowMove: true, AllowFind: true },
        ]),
      ),
      DicomWeb: { Enable: true, Root: "/dicom-web/" },
      ...more,
    }),
  );
  // It speaks DICOM with dcmtk, which otherwise waits 40 ms for each small packet to be confirmed.
  const env = { ...process.env, TCP_NODELAY: "1" };
  const child = spawn(BINARY ?? "Orthanc", [config], { env, stdio: "ignore" });
  const exited = once(child, "exit");
  const web = `http://127.0.0.1:${httpPort}`;
  const isUp = async (): Promise<boolean> =>
    fetch(`${web}/system`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isUp())) {
    if (child.exitCode !== null) throw new Error("Orthanc did not start");
    await delay(50);
  }
  return {
    aet: "ORTHANC",
    dicomPort,
    webUrl: `${web}/dicom-web`,
    async store(files) {
      for (const file of files) {
        const { ok } = await fetch(`${web}/instances`, { method: "POST", body: await readFile(file) });
        if (!ok) throw new Error("Orthanc did not take a file");
      }
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

export const filesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).sort().map((name) => path.join(folder, name));
