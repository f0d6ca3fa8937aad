import { describe, expect, it } from "vitest";
import { allowSenders, parseAeTitle, parsePeer } from "./peers.ts";

const wrong = { code: "config.invalid" };

describe("a PACS on the command line", () => {
  it("is an AE title, a host and a port", () => {
    expect(parsePeer("--peer", "PACS@10.1.2.3:104")).toEqual({ aet: "PACS", host: "10.1.2.3", port: 104 });
    expect(parsePeer("--peer", "P 1@[::1]:4242")).toEqual({ aet: "P 1", host: "::1", port: 4242 });
    for (const text of ["PACS", "PACS@host", "@host:104", "PACS@host:0", "PACS@host:99999", "A\\B@host:104"])
      expect(() => parsePeer("--peer", text)).toThrow(expect.objectContaining(wrong) as Error);
  });

  it("has an AE title of up to 16 characters", () => {
    expect(parseAeTitle("--aet", " SITE ")).toBe("SITE");
    for (const text of ["", " ", "x".repeat(17), "a\nb"])
      expect(() => parseAeTitle("--aet", text)).toThrow(expect.objectContaining(wrong) as Error);
  });
});

describe("who may send", () => {
  it("is decided by AE title and address together", async () => {
    const { allows, knows } = await allowSenders("--allow", [
      "CT1@10.1.2.3",
      "CT2@10.9.0.0/16",
      "V6@fd00::/8",
    ]);
    expect(allows("CT1", "10.1.2.3")).toBe(true);
    expect(allows("CT1 ", "::ffff:10.1.2.3")).toBe(true);
    expect(allows("CT1", "10.9.1.1")).toBe(false);
    expect(allows("CT2", "10.9.1.1")).toBe(true);
    expect(allows("CT2", "10.10.1.1")).toBe(false);
    expect(allows("V6", "fd12::1")).toBe(true);
    expect(allows("ct1", "10.1.2.3")).toBe(false);
    expect(knows("10.1.2.3")).toBe(true);
    expect(knows("10.1.2.4")).toBe(false);
    expect(knows("")).toBe(false);
  });

  it("may be named by a host's name", async () => {
    const { allows } = await allowSenders("--allow", ["PACS@localhost"]);
    expect(allows("PACS", "127.0.0.1")).toBe(true);
  });

  it("is told when it cannot be understood", async () => {
    for (const peer of ["CT1", "@10.1.2.3", "CT1@", "CT1@10.1.2.0/33", "CT1@10.1.2.0/", "CT1@name/8"])
      await expect(allowSenders("--allow", [peer])).rejects.toMatchObject(wrong);
  });
});
