import { Command } from "commander";
import type { CliPorts } from "../ports.ts";
import { pullDicomwebCommand } from "./pull-dicomweb.ts";
import { pullDimseCommand } from "./pull-dimse.ts";

export function pullCommand(ports: CliPorts): Command {
  return new Command("pull")
    .summary("Fetch images from a PACS into an image cache.")
    .description(
      `Fetch images from a PACS into an image cache, with DIMSE (C-FIND and C-GET or C-MOVE) or with DICOMweb.

Asks what there is, then fetches study by study what was not fetched before; the same command goes on where it stopped.`,
    )
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .addHelpText(
      "after",
      `
Examples:
  consilium-site pull dimse --peer ORTHANC@pacs.example:4242 --modality CR,DX --from 20240101
  consilium-site pull dicomweb --url https://pacs.example/dicom-web --modality CR,DX`,
    )
    .addCommand(pullDimseCommand(ports))
    .addCommand(pullDicomwebCommand(ports));
}
