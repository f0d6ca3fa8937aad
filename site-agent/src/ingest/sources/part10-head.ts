/** The head of a file around a data set that came without one (PS3.10, 7.1): no more of it than reading needs. */

/** Preamble, prefix, and a meta header that names the transfer syntax. The UID of the image stays in the data set. */
export function part10Head(transferSyntaxUid: string): Buffer {
  const syntax = element(0x0010, "UI", paddedUid(transferSyntaxUid));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(syntax.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from("DICM"), element(0x0000, "UL", length), syntax]);
}

function element(number: number, vr: "UI" | "UL", value: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(0x0002, 0);
  header.writeUInt16LE(number, 2);
  header.write(vr, 4, "latin1");
  header.writeUInt16LE(value.length, 6);
  return Buffer.concat([header, value]);
}

const paddedUid = (uid: string): Buffer => Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, "latin1");
