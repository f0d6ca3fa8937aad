import type { Command } from "commander";
import { allowSenders, parseAeTitle, parsePeer } from "../../ingest/sources/peers.ts";
import { handle, oneOf, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";
import { runPull, withPullingOptions, type PullingOptions } from "../pulling.ts";
import { readTlsFiles, type TlsFileOptions } from "../tls-files.ts";

interface Options extends PullingOptions, TlsFileOptions {
  readonly aet: string;
  readonly peer: string;
  readonly method: "get" | "move";
  readonly host: string;
  readonly port: number;
  readonly tls?: boolean;
}

export function pullDimseCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "dimse",
    "Fetch images from a PACS with C-FIND and C-GET or C-MOVE.",
    `The PACS has to know this site's AE title and address. With --method get, images come on the same connection. With
--method move the PACS opens one of its own to --host and --port, which have to be entered there under this site's AE title.
A study that cannot be fetched is listed by its HMAC and does not stop the others; the exit code is 1 then. The same
command goes on where it stopped.`,
    `consilium-site pull dimse --peer ORTHANC@pacs.example:4242 --modality CR,DX --from 20240101 --to 20241231
     consilium-site pull dimse --peer ORTHANC@pacs.example:4242 --method move --host 10.1.2.3 --port 11104
     consilium-site pull dimse --peer PACS@pacs.example:2762 --tls --ca hospital.pem --level series --modality CR
     consilium-site pull dimse --peer PACS@pacs.example:104 --query StudyDescription=*CHEST*`,
  )
    .requiredOption("--peer <AET@host:port>", "the PACS")
    .option("--aet <title>", "this site's AE title", "CONSILIUM")
    .option("--method <method>", "get or move", oneOf("--method", ["get", "move"]), "get")
    .option("--host <address>", "move: address to listen on", "127.0.0.1")
    .option("--port <port>", "move: port to listen on", wholeNumber("--port", 0), 11_104)
    .option("--tls", "speak TLS to the PACS")
    .option("--ca <file>", "TLS: authority of the PACS's certificate (PEM)")
    .option("--cert <file>", "TLS: this site's certificate (PEM)")
    .option("--key <file>", "TLS: its private key (PEM)");
  return handle<Options>(withPullingOptions(command, ports), ports, async (context) => {
    const { options } = context;
    const peer = parsePeer("--peer", options.peer);
    const aet = parseAeTitle("--aet", options.aet);
    const files = await readTlsFiles(options);
    const tls = options.tls === true ? files : null;
    await runPull(context, {
      identity: [peer.aet, peer.host, String(peer.port)],
      withSource: async ({ spool, secret, signal, onStored }, work) => {
        const { dimseSource } = await import("../../ingest/sources/dimse/dimse-source.ts");
        const source = dimseSource({
          peer,
          aet,
          tls,
          method: options.method,
          secret,
          onStored: (outcome) => {
            if (outcome === "kept") onStored();
          },
        });
        if (options.method === "get") {
          await work(source);
          return;
        }
        const { listen } = await import("../../ingest/sources/dimse/acceptor.ts");
        const listener = await listen({
          spool,
          secret,
          host: options.host,
          port: options.port,
          aet,
          allowed: await allowSenders("--peer", [`${peer.aet}@${peer.host}`]),
          tls: tls?.cert === undefined ? null : { ...tls, requestCert: tls.ca !== undefined },
          onStored: (outcome) => {
            if (outcome === "kept") onStored();
          },
          onRefused: () => undefined,
        });
        try {
          signal.throwIfAborted();
          await work(source);
        } finally {
          await listener.close();
        }
      },
    });
  });
}
