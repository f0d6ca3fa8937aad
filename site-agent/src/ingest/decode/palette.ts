/** PALETTE COLOR to RGB. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { LookupTable, Palette } from "../header/lookup-table.ts";
import type { StoredImage } from "./stored-image.ts";

/**
 * Looks every index up; those outside take the first or last entry (PS3.3 C.7.6.3.1.5).
 * @returns uint8 or uint16 RGB, as wide as the palette's entries
 * @throws dicom.unsupported if the file has no palette
 */
export function expandPalette(image: StoredImage, palette: Palette | null): StoredImage {
  if (palette === null) throw new ConsiliumError("dicom.unsupported", { detail: "(no palette)" });
  const { rows, columns, values: indices } = image;
  const length = indices.length * 3;
  const values = palette.bits === 8 ? new Uint8Array(length) : new Uint16Array(length);
  for (const [channel, table] of [palette.red, palette.green, palette.blue].entries())
    for (let i = 0; i < indices.length; i++) values[i * 3 + channel] = lookUp(table, indices[i] ?? 0);
  return { rows, columns, samples: 3, photometric: "RGB", values };
}

function lookUp({ first, values }: LookupTable, index: number): number {
  const at = index - first;
  return values[at < 0 ? 0 : at < values.length ? at : values.length - 1] ?? 0;
}
