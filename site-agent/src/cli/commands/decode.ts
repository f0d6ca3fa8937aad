import type { Command } from "commander";
import type { DecodeReport } from "../../ingest/decode/decode-file.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly raw?: string;
  readonly expandPalette?: boolean;
  readonly timeout: number;
}

export function decodeCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "decode",
    "Decode one DICOM file, to compare it with another decoder.",
    `Shows what the pixels of a file are and the SHA-256 of their stored values; --raw writes the values themselves: frame after
frame, row after row, samples side by side (R G B), little-endian, in the dtype shown. Stored values are before rescale,
window and palette: only the BitsStored bits, with their sign. Uses no home folder, changes nothing, and shows nothing that
identifies a person; --raw holds the picture, so mind who can read it. docs/ingest.md describes the form in full.`,
    `consilium-site decode image.dcm
     consilium-site decode image.dcm --raw image.raw --json
     python -c "import numpy as np; print(np.fromfile('image.raw', '<u2').reshape(512, 512))"`,
  )
    .argument("<file>", "a DICOM file of any transfer syntax")
    .option("--raw <file>", "write the stored values to this file")
    .option("--expand-palette", "turn PALETTE COLOR into RGB")
    .option("--timeout <s>", "seconds a frame may take", wholeNumber("--timeout", 1), 60);
  return handle<Options>(command, ports, async ({ options, output }, file = "") => {
    const { DecodePool } = await import("../../ingest/decode/decode-pool.ts");
    const pool = new DecodePool({ threads: 1, timeoutMs: options.timeout * 1000 });
    const stop = (): void => void pool.close();
    ports.signal.addEventListener("abort", stop, { once: true });
    try {
      const report = await pool.decode({
        path: file,
        raw: options.raw ?? null,
        expandPalette: options.expandPalette === true,
      });
      output.result({ ...report }, describe(report));
    } finally {
      await pool.close();
    }
  });
}

function describe(report: DecodeReport): string {
  const { rows, columns, frames, samples, dtype, photometric, bitsAllocated, bitsStored } = report;
  const [first] = report.perFrame;
  const places = new Set(report.perFrame.map(({ position }) => JSON.stringify(position))).size;
  const spacing = first?.pixelSpacing;
  const rescale = first?.rescale;
  return [
    `${rows} rows, ${columns} columns, ${frames} ${frames === 1 ? "frame" : "frames"} of ${samples} x ${dtype}`,
    `  colours      ${photometric}`,
    `  bits         ${bitsStored} stored of ${bitsAllocated} allocated`,
    `  written as   ${report.transferSyntax}`,
    `  rescale      ${rescale == null ? "not given" : `x ${rescale.slope} + ${rescale.intercept}`}`,
    `  spacing      ${spacing == null ? "not given" : `${spacing.join(" x ")} mm`}, frames in ${places} ${places === 1 ? "place" : "places"}`,
    `  values       ${report.bytes} bytes, sha256 ${report.sha256}`,
  ].join("\n");
}
