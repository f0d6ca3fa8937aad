import type { Command } from "commander";
import { ConsiliumError } from "@consilium/shared/errors";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";
import { runPull, withPullingOptions, type PullingOptions } from "../pulling.ts";
import { readSecretFile } from "../secret-file.ts";
import { readTlsFiles, type TlsFileOptions } from "../tls-files.ts";

interface Options extends PullingOptions, TlsFileOptions {
  readonly url: string;
  readonly header?: readonly string[];
  readonly tokenFile?: string;
}

export function pullDicomwebCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "dicomweb",
    "Fetch images from a PACS with DICOMweb (QIDO-RS and WADO-RS).",
    `Images come as they are stored there, series by series; series without images are left out. A study that cannot be
fetched is listed by its HMAC and does not stop the others; the exit code is 1 then. The same command goes on where it
stopped. The token file holds a bearer token, or a whole value of the Authorization header such as "Basic ...".`,
    `consilium-site pull dicomweb --url https://pacs.example/dicom-web --modality CR,DX
     consilium-site pull dicomweb --url https://pacs.example/dicom-web --ca hospital.pem --token-file token
     consilium-site pull dicomweb --url https://pacs.example/dicom-web --from 20240101 --header "X-Tenant: radiology"`,
  )
    .requiredOption("--url <url>", "root of the DICOMweb service")
    .option("--header <name: value...>", "sent with every request; secrets belong into --token-file")
    .option("--token-file <file>", "file with the token, read at the start; - is standard input")
    .option("--ca <file>", "authority of the PACS's certificate (PEM)")
    .option("--cert <file>", "this site's certificate (PEM)")
    .option("--key <file>", "its private key (PEM)");
  return handle<Options>(withPullingOptions(command, ports), ports, async (context) => {
    const { options } = context;
    const url = parseUrl(options.url);
    const headers = { ...parseHeaders(options.header ?? []), ...(await authorization(options.tokenFile)) };
    const tls = await readTlsFiles(options);
    await runPull(context, {
      identity: [url.href],
      withSource: async ({ secret, onStored }, work) => {
        const { webClient } = await import("../../ingest/sources/dicomweb/web-client.ts");
        const { webSource } = await import("../../ingest/sources/dicomweb/web-source.ts");
        const client = webClient({ url, headers, tls });
        try {
          await work(webSource({ client, secret, modalities: options.modality, onStored }));
        } finally {
          client.close();
        }
      },
    });
  });
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "")
    return url;
  throw new ConsiliumError("config.invalid", {
    detail: "(--url: give an address like https://pacs.example/dicom-web, without user and password)",
    culprits: ["--url"],
  });
}

function parseHeaders(lines: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    lines.map((line) => {
      const [, name, value] = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e]*)$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) return [name, value];
      throw new ConsiliumError("config.invalid", {
        detail: '(--header: give "Name: value")',
        culprits: ["--header"],
      });
    }),
  );
}

async function authorization(file: string | undefined): Promise<Readonly<Record<string, string>>> {
  if (file === undefined) return {};
  const token = await readSecretFile("--token-file", file);
  return { authorization: token.includes(" ") ? token : `Bearer ${token}` };
}
