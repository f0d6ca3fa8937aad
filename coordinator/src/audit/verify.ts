/** Checks an audit log as it lies on disk: its chain, the coordinator's signatures under it, and the sites'. */
import { parseLine, verifyChain, type AuditLine } from "@consilium/shared/audit/chain";
import { verify } from "@consilium/shared/crypto/identity";
import { publicIdentitySchema, signedSchema, type PublicIdentity } from "@consilium/shared/crypto/signed";
import { siteIdSchema } from "@consilium/shared/ids";
import { auditHeadSchema, signedCountersignatureSchema } from "@consilium/shared/protocol/governance";
import { COUNTERSIGNATURE_EVENT, HEAD_EVENT } from "./heads.ts";

export type AuditCheck =
  | {
      readonly ok: true;
      readonly lines: number;
      readonly heads: number;
      readonly countersignatures: number;
      /** By federation, who has countersigned its newest head; ordered. */
      readonly newestSigners: Readonly<Record<string, readonly string[]>>;
      /** Lines that lie after the newest head, which nobody has signed; all of them without a head. */
      readonly unsigned: number;
    }
  | { readonly ok: false; readonly brokenAt: number; readonly why: "chain" | "signature" };

/**
 * Sites' keys are those that the log itself names with their enrolment, whose fingerprints people have compared.
 * @param keyOfCoordinator who must have signed the heads; asked for only where there are any
 * @throws what `keyOfCoordinator` throws
 */
export async function verifyAudit(
  lines: readonly string[],
  keyOfCoordinator: () => Promise<PublicIdentity>,
): Promise<AuditCheck> {
  const chain = verifyChain(lines);
  if (!chain.ok) return { ok: false, brokenAt: chain.brokenAt, why: "chain" };
  const parsed = lines.map(parseLine).filter((line) => line !== null);
  const coordinator = parsed.some(({ event }) => event === HEAD_EVENT) ? await keyOfCoordinator() : null;
  const keys = new Map<string, PublicIdentity>();
  let heads = 0;
  let countersignatures = 0;
  const newest = new Map<string, { readonly seq: number; readonly signers: Set<string> }>();
  for (const line of parsed) {
    try {
      if (line.event === "site.enrolled") keys.set(keyOf(line), enrolledKey(line));
      if (line.event === HEAD_EVENT && coordinator !== null) {
        const head = verify("audit-head", signedSchema(auditHeadSchema).parse(line.data), coordinator);
        assertInLog(parsed, head, line);
        heads += 1;
        newest.set(line.federation, { seq: head.seq, signers: new Set() });
      }
      if (line.event === COUNTERSIGNATURE_EVENT) {
        const signed = signedCountersignatureSchema.parse(line.data);
        const { site } = signed.body;
        const identity = keys.get(`${line.federation}/${site}`);
        if (identity === undefined) throw new Error("a site that was never enrolled");
        assertInLog(parsed, verify("audit-countersignature", signed, identity), line);
        countersignatures += 1;
        const head = newest.get(line.federation);
        if (head?.seq === signed.body.seq) head.signers.add(site);
      }
    } catch {
      // Whatever does not verify, the line is what an investigation begins with.
      return { ok: false, brokenAt: line.seq, why: "signature" };
    }
  }
  const newestSigners = Object.fromEntries(
    Array.from(newest, ([federation, { signers }]) => [federation, [...signers].sort()]),
  );
  const signedTo = Math.max(0, ...Array.from(newest.values(), ({ seq }) => seq));
  const unsigned = chain.lines - signedTo;
  return { ok: true, lines: chain.lines, heads, countersignatures, newestSigners, unsigned };
}

function assertInLog(
  lines: readonly AuditLine[],
  { seq, hash, federation }: { readonly seq: number; readonly hash: string; readonly federation: string },
  line: AuditLine,
): void {
  const signed = lines[seq - 1];
  if (signed?.hash !== hash || seq >= line.seq || federation !== line.federation) {
    throw new Error("a signature under something that is not in the log");
  }
}

const keyOf = ({ federation, data }: AuditLine): string =>
  `${federation}/${siteIdSchema.parse(data["site"])}`;
const enrolledKey = ({ data }: AuditLine): PublicIdentity => publicIdentitySchema.parse(data["identity"]);
