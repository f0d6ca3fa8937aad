import fc from "fast-check";
import { expect, it } from "vitest";
import { MAX_MESSAGE_BYTES, MAX_PDU_BYTES, PduWatch } from "./pdu-watch.ts";

interface Fragment {
  readonly flags: number;
  readonly bytes: number;
}

function pdu(type: number, content: Buffer, length = content.length): Buffer {
  const header = Buffer.from([type, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(length, 2);
  return Buffer.concat([header, content]);
}

function pData(...fragments: readonly Fragment[]): Buffer {
  const items = fragments.map(({ flags, bytes }) => {
    const item = Buffer.alloc(6 + bytes);
    item.writeUInt32BE(bytes + 2, 0);
    item.writeUInt8(1, 4);
    item.writeUInt8(flags, 5);
    return item;
  });
  return pdu(4, Buffer.concat(items));
}

it("lets whole conversations pass, however they are cut, and counts open data sets", () => {
  const fragment = fc.record({ flags: fc.nat(3), bytes: fc.nat(40) });
  const one = fc.oneof(
    fc.array(fragment, { minLength: 1, maxLength: 3 }).map((fragments) => pData(...fragments)),
    fc.tuple(fc.constantFrom(1, 2, 3, 5, 6, 7), fc.nat(30)).map(([type, n]) => pdu(type, Buffer.alloc(n))),
  );
  fc.assert(
    fc.property(fc.array(one), fc.infiniteStream(fc.integer({ min: 1, max: 9 })), (pdus, cuts) => {
      const sent = Buffer.concat(pdus);
      const whole = new PduWatch();
      expect(whole.push(sent)).toBe(true);
      const cut = new PduWatch();
      for (let at = 0; at < sent.length;) {
        const size = cuts.next().value as number;
        expect(cut.push(sent.subarray(at, at + size))).toBe(true);
        at += size;
      }
      expect(cut.dataSetBytes).toBe(whole.dataSetBytes);
    }),
    { numRuns: 200 },
  );
});

it("counts a data set until its last fragment", () => {
  const watch = new PduWatch();
  watch.push(pData({ flags: 3, bytes: 10 }, { flags: 0, bytes: 7 }));
  expect(watch.dataSetBytes).toBe(7);
  watch.push(pData({ flags: 0, bytes: 5 }));
  expect(watch.dataSetBytes).toBe(12);
  watch.push(pData({ flags: 2, bytes: 1 }));
  expect(watch.dataSetBytes).toBe(0);
});

it("stops at the header of a PDU that is too long, of whatever kind", () => {
  for (const type of [1, 4, 200]) {
    expect(new PduWatch().push(pdu(type, Buffer.alloc(0), MAX_PDU_BYTES))).toBe(true);
    expect(new PduWatch().push(pdu(type, Buffer.alloc(0), MAX_PDU_BYTES + 1))).toBe(false);
    expect(new PduWatch().push(pdu(type, Buffer.alloc(0), 0xffff_ffff))).toBe(false);
  }
});

it("stops at a fragment that is longer than its PDU, or shorter than its own header", () => {
  for (const length of [0, 1, 60, 0xffff_ffff]) {
    const wrong = pData({ flags: 0, bytes: 20 });
    wrong.writeUInt32BE(length, 6);
    expect(new PduWatch().push(wrong)).toBe(false);
  }
});

it("stops at a command without an end", () => {
  const watch = new PduWatch();
  const piece = pData({ flags: 1, bytes: 65_536 });
  let sent = 0;
  while (watch.push(piece)) sent += 65_536;
  expect(sent).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
});
