/** What left the site, added up by what it says and by round: the receipts as a data-protection officer asks for them. Pure. */
import { roundInWords } from "@consilium/shared/protocol/round";
import type { Receipt } from "./receipts.ts";

/** In the words of README's table, in its order. */
const LEAVING = [
  "weight updates",
  "counts and losses",
  "keys and shares",
  "what images are like",
  "initial model",
  "progress",
  "who, when",
  "signatures for others",
] as const;
export type LeavingKind = (typeof LEAVING)[number];

const KINDS: Readonly<Record<Receipt["kind"], LeavingKind>> = {
  contribution: "weight updates",
  "masked-vector": "weight updates",
  metrics: "counts and losses",
  "masking-keys": "keys and shares",
  "masking-shares": "keys and shares",
  "masking-signature": "keys and shares",
  "masking-release": "keys and shares",
  fingerprint: "what images are like",
  "image-distances": "what images are like",
  genesis: "initial model",
  progress: "progress",
  enrolment: "who, when",
  session: "who, when",
  hello: "who, when",
  hold: "who, when",
  "sit-out": "who, when",
  endorsement: "signatures for others",
  "audit-signature": "signatures for others",
};

export interface LeftTotal {
  readonly what: LeavingKind;
  /** In words: "round 3 of 6", "before round 1", "trying the last model", "outside rounds". */
  readonly round: string;
  readonly objects: number;
  readonly bytes: number;
}

export interface ReceiptsSummary {
  /** By round, in order, and there by what it is. */
  readonly totals: readonly LeftTotal[];
  readonly objects: number;
  readonly bytes: number;
  /** Objects that the coordinator did not take; how much of them left is not on record, at most this. */
  readonly refused: { readonly objects: number; readonly bytes: number };
  /** Begun, and of unknown outcome: the program was ended, or is at it. At most so much of them has left. */
  readonly unsettled: { readonly objects: number; readonly bytes: number };
}

const OUTSIDE = "outside rounds";

/**
 * @param receipts in order
 * @param plan of the federation, which tells the round after the last one
 */
export function summariseReceipts(
  receipts: readonly Receipt[],
  plan: { readonly rounds: number },
): ReceiptsSummary {
  const begun = new Map<string, Receipt>();
  const totals = new Map<string, LeftTotal & { readonly order: number; readonly names: Set<string> }>();
  const refused = { objects: 0, bytes: 0 };
  for (const receipt of receipts) {
    const { kind, round, attempt, state, bytes, sha256 } = receipt;
    // Of progress the hash is known at the end alone.
    const name = `${kind} ${round}.${attempt} ${kind === "progress" ? "" : sha256}`;
    if (state === "sending") {
      begun.set(name, receipt);
      continue;
    }
    begun.delete(name);
    if (state === "refused") {
      refused.objects += 1;
      refused.bytes += bytes;
      continue;
    }
    const what = kind === "masked-vector" && round === 0 ? "what images are like" : KINDS[kind];
    const words = attempt === 0 ? OUTSIDE : roundInWords(round, plan);
    const key = `${words} ${what}`;
    const order = (attempt === 0 ? -1 : round) * LEAVING.length + LEAVING.indexOf(what);
    const before = totals.get(key) ?? { what, round: words, objects: 0, bytes: 0, order, names: new Set() };
    // What was interrupted and sent on is one object.
    before.names.add(name);
    totals.set(key, { ...before, objects: before.names.size, bytes: before.bytes + bytes });
  }
  const rows = [...totals.values()]
    .toSorted((a, b) => a.order - b.order)
    .map(({ what, round, objects, bytes }): LeftTotal => ({ what, round, objects, bytes }));
  return {
    totals: rows,
    ...sumOf(rows),
    refused,
    unsettled: sumOf([...begun.values()].map(({ bytes }) => ({ objects: 1, bytes }))),
  };
}

/** Totals over rounds, in the order of README's table. */
export const byWhat = ({ totals }: ReceiptsSummary): readonly Omit<LeftTotal, "round">[] =>
  LEAVING.flatMap((what) => {
    const rows = totals.filter((total) => total.what === what);
    return rows.length === 0 ? [] : [{ what, ...sumOf(rows) }];
  });

function sumOf(rows: readonly Pick<LeftTotal, "objects" | "bytes">[]): Pick<LeftTotal, "objects" | "bytes"> {
  return {
    objects: rows.reduce((sum, row) => sum + row.objects, 0),
    bytes: rows.reduce((sum, row) => sum + row.bytes, 0),
  };
}
