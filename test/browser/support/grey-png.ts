/** 8-bit grey PNG (W3C PNG, third edition) as a data URL, for pictures in tests. */
import { crc32, deflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const GREY_8_BIT = [8, 0, 0, 0, 0];

/** `pixel(x, y)` in 0..255. */
export function greyPng(sidePx: number, pixel: (x: number, y: number) => number): string {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(sidePx, 0);
  header.writeUInt32BE(sidePx, 4);
  header.set(GREY_8_BIT, 8);
  // Each row begins with its filter, 0 for none.
  const rows = Buffer.alloc(sidePx * (sidePx + 1));
  for (let y = 0; y < sidePx; y++) {
    for (let x = 0; x < sidePx; x++) {
      rows[y * (sidePx + 1) + x + 1] = Math.min(255, Math.max(0, Math.round(pixel(x, y))));
    }
  }
  const file = Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
  return `data:image/png;base64,${file.toString("base64")}`;
}

function chunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(content.length, 0);
  out.set(body, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}
