import type { Command } from "commander";
import { sourceKey } from "../../dataset/keys.ts";
import type { Refusal } from "../../ingest/sources/dimse/acceptor.ts";
import type { StoreOutcome } from "../../ingest/sources/dimse/store-peer.ts";
import { allowSenders, parseAeTitle } from "../../ingest/sources/peers.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";
import { receiveInto, withReceivingOptions, type ReceivingOptions } from "../receiving.ts";
import { readTlsFiles, type TlsFileOptions } from "../tls-files.ts";

interface Options extends ReceivingOptions, TlsFileOptions {
  readonly host: string;
  readonly port: number;
  readonly aet: string;
  readonly allow: readonly string[];
}

export function listenCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "listen",
    "Receive images that a PACS or a modality pushes (DICOM C-STORE) into an image cache.",
    `Only senders on the list are heard: their AE title and their address have to fit. Each image is on this disk before it
is acknowledged, is read into the cache, and is deleted then. Stop it and start it again at any time: what was acknowledged
is read, what was not is sent again by the PACS. When the disk or the spool is full, senders are told to come back later.
C-ECHO is answered. --cert and --key switch TLS on; with --ca, senders need a certificate of that authority.`,
    `consilium-site listen --aet CONSILIUM --allow ORTHANC@127.0.0.1
     consilium-site listen --host 10.1.2.3 --port 11104 --allow PACS@10.1.2.4 --allow CT1@10.1.3.0/24
     consilium-site listen --host 10.1.2.3 --port 2762 --allow PACS@pacs.example --cert site.pem --key site.key --ca hospital.pem`,
  )
    .option("--aet <title>", "this site's AE title", "CONSILIUM")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port to listen on", wholeNumber("--port", 0), 11_104)
    .requiredOption("--allow <AET@address...>", "who may send: address, network (10.1.2.0/24) or name")
    .option("--cert <file>", "TLS: this site's certificate (PEM)")
    .option("--key <file>", "TLS: its private key (PEM)")
    .option("--ca <file>", "TLS: authority that senders' certificates have to come from (PEM)");
  return handle<Options>(withReceivingOptions(command, ports), ports, async (context) => {
    const { options, output } = context;
    const { host, port } = options;
    const aet = parseAeTitle("--aet", options.aet);
    const allowed = await allowSenders("--allow", options.allow);
    const files = await readTlsFiles(options);
    const tls = files.cert === undefined ? null : { ...files, requestCert: files.ca !== undefined };
    const counts: Record<StoreOutcome, number> = {
      kept: 0,
      "without-image": 0,
      full: 0,
      "too-long": 0,
      failed: 0,
    };
    let refused = 0;
    const told = new Set<Refusal>();
    await receiveInto(context, {
      command: "listen",
      sourceKey: (secret) => sourceKey(secret, "listen", aet),
      status: () => ({
        data: {
          received: counts.kept,
          withoutImage: counts["without-image"],
          turnedAway: counts.full,
          tooLong: counts["too-long"],
          refused,
        },
        text: `listening · ${counts.kept} received`,
      }),
      bring: async ({ secret, spool, signal, show }) => {
        const { listen } = await import("../../ingest/sources/dimse/acceptor.ts");
        const listener = await listen({
          spool,
          secret,
          host,
          port,
          aet,
          allowed,
          tls,
          onStored: (outcome) => {
            counts[outcome] += 1;
            show();
          },
          onRefused: (why) => {
            refused += 1;
            // Once of each kind: what knocks every minute must not fill a log.
            if (told.has(why)) return;
            told.add(why);
            output.event("refused", { why }, `refused a sender: ${REFUSALS[why]}`);
          },
        });
        try {
          output.event(
            "listening",
            { aet, host, port: listener.port, tls: tls !== null },
            `listening as ${aet} on ${host} port ${listener.port}${tls === null ? "" : " (TLS)"}; Ctrl-C ends it`,
          );
          await aborted(signal);
        } finally {
          await listener.close();
        }
      },
    });
  });
}

const REFUSALS = {
  address: "its address is not allowed here",
  "calling-ae-title": "its AE title at that address is not allowed here",
  "called-ae-title": "its name for this site (called AE title) is not allowed here",
  "too-many": "too many associations at once; it may try again later",
  "too-long": "it sent a message longer than DICOM's negotiation allows",
} as const;

/** @throws the signal's reason, when it fires */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
