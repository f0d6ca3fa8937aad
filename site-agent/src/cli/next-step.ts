/** What is missing before training can begin, as the last line of commands that bring images in. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import { receiptsFile } from "../federation/receipts.ts";
import { decisionOn, isListed } from "../governance/gate.ts";
import type { Home } from "../home/home.ts";

export type Standing = "approved" | "refused" | "listed" | "undecided";

/** What this site says to a plan so far. */
export async function standingOf(home: Home, hash: Sha256): Promise<Standing> {
  const decision = decisionOn(hash, await receiptsFile(home.receiptsFile).entries());
  return decision ?? (isListed(hash, await home.policy()) ? "listed" : "undecided");
}

/** @param used images that are in the cache now */
export async function nextStep(home: Home, used: number): Promise<string> {
  return `  next         ${await whatNext(home, used)}`;
}

async function whatNext(home: Home, used: number): Promise<string> {
  if (used === 0) return "nothing to train on yet: no image was found where you said";
  try {
    const standing = await standingOf(home, planHash((await home.joined()).plan));
    return standing === "approved" || standing === "listed"
      ? "consilium-site run"
      : "consilium-site plan: read it, approve it; then consilium-site run";
  } catch (error) {
    if (!(error instanceof ConsiliumError && error.code === "home.not-joined")) throw error;
    return "consilium-site join";
  }
}
