/** Round 2 at the coordinator: passes sealed shares on, and keeps what the dealers stand for. */
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { compareSites, verifyMember, type Attempt } from "../attempt.ts";
import { digestsOf } from "../digests.ts";
import { assertWhole, inWholeGroups } from "../left.ts";
import { neighbours, type Mesh } from "../mesh.ts";
import type { DealingMessage, Delivery, SignedDealing, SignedKeys } from "../messages.ts";
import { required } from "../required.ts";
import type { CoordinatorRound } from "../round.ts";
import type { Collected } from "./collect.ts";
import { admit } from "./admit.ts";

export interface Routed {
  readonly phase: "routed";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  readonly keys: readonly SignedKeys[];
  /** Sites that dealt, but for those of groups with too few of them; in the order of their names. */
  readonly participants: readonly SiteId[];
  readonly dealings: ReadonlyMap<SiteId, SignedDealing>;
}

/**
 * @returns as broadcast, one delivery for each participant
 * @throws secagg.too-few-sites
 */
export function route(
  state: Collected,
  messages: readonly DealingMessage[],
): CoordinatorRound<ReadonlyMap<SiteId, Delivery>, Routed> {
  const { attempt, mesh, keys } = state;
  const { context } = attempt;
  const { admitted, refused } = admit(
    messages,
    ({ dealing }) => dealing.body.site,
    (message) => {
      assertDealing(state, message);
    },
  );
  const participants = inWholeGroups(mesh, [...admitted.keys()].sort(compareSites));
  assertWhole(attempt, mesh, participants);
  const boxes = new Map(
    [...admitted].map(([site, message]) => [site, new Map(message.boxes.map(({ to, box }) => [to, box]))]),
  );
  const present = new Set(participants);
  const deliveries = participants.map((site): [SiteId, Delivery] => {
    const dealings = neighbours(mesh, site, present).map((dealer) => ({
      dealing: required(admitted.get(dealer)).dealing,
      box: required(boxes.get(dealer)?.get(site)),
    }));
    return [site, { context, participants, dealings }];
  });
  const dealings = new Map(participants.map((site) => [site, required(admitted.get(site)).dealing]));
  return {
    broadcast: new Map(deliveries),
    keep: { phase: "routed", attempt, mesh, keys, participants, dealings },
    refused,
  };
}

/**
 * What `route` asks of one message.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, round.not-open, secagg.bad-share
 */
export function assertDealing({ attempt, mesh }: Collected, { dealing, boxes }: DealingMessage): void {
  const { site, digests } = verifyMember(attempt, "secagg-dealing", dealing);
  const holders = mesh.holders.get(site);
  if (holders === undefined) throw new ConsiliumError("round.not-open", { culprits: [site] });
  digestsOf(digests, holders.length, site);
  const expected = holders.filter((holder) => holder !== site);
  const given = boxes.map(({ to }) => to).sort(compareSites);
  if (given.join() !== expected.join()) throw new ConsiliumError("secagg.bad-share", { culprits: [site] });
}
