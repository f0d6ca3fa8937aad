/** Other machines that speak DICOM: how they are named on the command line, and which of them may send. */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { ConsiliumError } from "@consilium/shared/errors";

/** AE titles: 1 to 16 characters without control characters or a backslash, spaces around do not count (PS3.5, 6.2). */
export function parseAeTitle(option: string, text: string): string {
  const title = text.trim();
  if (/^[\x20-\x5b\x5d-\x7e]{1,16}$/.test(title)) return title;
  throw wrong(option, "give an AE title of 1 to 16 characters");
}

/** A PACS that is called. */
export interface PacsAddress {
  readonly aet: string;
  readonly host: string;
  readonly port: number;
}

/** @throws config.invalid unless it is like ORTHANC@pacs.example:4242 */
export function parsePeer(option: string, text: string): PacsAddress {
  const match = /^([^@]+)@\[?([^@\]]+)\]?:(\d+)$/.exec(text);
  const [, aet, host, port] = match ?? [];
  if (aet === undefined || host === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw wrong(option, "give AET@host:port");
  return { aet: parseAeTitle(option, aet), host, port: Number(port) };
}

/** Who may send: an AE title from an address. */
export interface AllowedSenders {
  /** Whether anything at that address may speak at all. */
  readonly knows: (address: string) => boolean;
  readonly allows: (aet: string, address: string) => boolean;
}

/**
 * @param peers like MODALITY@10.1.2.3, MODALITY@10.1.2.0/24 or MODALITY@pacs.example, looked up once
 * @throws config.invalid
 */
export async function allowSenders(option: string, peers: readonly string[]): Promise<AllowedSenders> {
  const rules = await Promise.all(
    peers.map(async (peer) => {
      const at = peer.lastIndexOf("@");
      const aet = parseAeTitle(option, peer.slice(0, Math.max(at, 0)));
      return { aet, addresses: await addressesOf(option, peer.slice(at + 1)) };
    }),
  );
  const isAt = (addresses: BlockList, address: string): boolean => {
    const plain = plainAddress(address);
    return addresses.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
  };
  return {
    knows: (address) => rules.some(({ addresses }) => isAt(addresses, address)),
    allows: (aet, address) => rules.some((rule) => rule.aet === aet.trim() && isAt(rule.addresses, address)),
  };
}

/** IPv4 that came in through a socket for IPv6 is IPv4. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

async function addressesOf(option: string, place: string): Promise<BlockList> {
  const list = new BlockList();
  const [address = "", prefix, ...more] = place.split("/");
  const version = isIP(address);
  if (prefix !== undefined) {
    const bits = Number(prefix);
    const isNetwork =
      version > 0 && more.length === 0 && /^\d+$/.test(prefix) && bits <= (version === 4 ? 32 : 128);
    if (!isNetwork) throw wrong(option, "give AET@address, AET@address/bits or AET@name");
    list.addSubnet(address, bits, version === 4 ? "ipv4" : "ipv6");
    return list;
  }
  const found = version > 0 ? [{ address, family: version }] : await look(option, address);
  for (const { address: one, family } of found) list.addAddress(one, family === 4 ? "ipv4" : "ipv6");
  return list;
}

async function look(option: string, name: string): Promise<readonly { address: string; family: number }[]> {
  try {
    if (name === "") throw new Error("no name");
    return await lookup(name, { all: true });
  } catch (cause) {
    throw wrong(option, "the name of a sender has no address", cause);
  }
}

const wrong = (option: string, what: string, cause?: unknown): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${option}: ${what})`, culprits: [option], cause });
