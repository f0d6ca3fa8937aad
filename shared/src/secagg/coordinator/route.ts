/** Round 2 at the coordinator: passes sealed shares on, and keeps what the dealers stand for. */
import { fromBase64Url } from "../../crypto/encoding.ts";
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import { compareSites, verifyMember, type Attempt } from "../attempt.ts";
import { assertDigests, digestTree, pathTo } from "../digests.ts";
import { assertWhole, inWholeGroups } from "../left.ts";
import { neighbours, type Mesh } from "../mesh.ts";
import type { DealingMessage, Delivery, SignedDealing, SignedKeys } from "../messages.ts";
import { required } from "../required.ts";
import type { CoordinatorRound } from "../round.ts";
import type { Collected } from "./collect.ts";
import { admit, type Checked } from "./admit.ts";

/** What a dealer stands for. */
export interface Dealt {
  readonly body: SignedDealing["body"];
  /** Of its shares, under the root that it has signed (digests.ts). */
  readonly digests: Uint8Array;
}

export interface Routed {
  readonly phase: "routed";
  readonly attempt: Attempt;
  readonly mesh: Mesh;
  readonly keys: readonly SignedKeys[];
  /** Sites that dealt, but for those of groups with too few of them; in the order of their names. */
  readonly participants: readonly SiteId[];
  readonly dealings: ReadonlyMap<SiteId, Dealt>;
}

/**
 * @param checked by `assertDealing`
 * @returns as broadcast, one delivery for each participant
 * @throws secagg.too-few-sites
 */
export function route(
  state: Collected,
  messages: readonly DealingMessage[],
  checked?: Checked,
): CoordinatorRound<ReadonlyMap<SiteId, Delivery>, Routed> {
  const { attempt, mesh, keys } = state;
  const { context } = attempt;
  const { admitted, refused } = admit(
    messages,
    ({ dealing }) => dealing.body.site,
    (message) => {
      assertDealing(state, message);
    },
    checked,
  );
  const participants = inWholeGroups(mesh, [...admitted.keys()].sort(compareSites));
  assertWhole(attempt, mesh, participants);
  const dealt = new Map(participants.map((site) => [site, dealtBy(required(admitted.get(site)))]));
  const present = new Set(participants);
  const deliveries = participants.map((site): [SiteId, Delivery] => {
    const dealings = neighbours(mesh, site, present).map((dealer) => {
      const { dealing, tree, boxes } = required(dealt.get(dealer));
      const holder = required(mesh.holders.get(dealer)).indexOf(site);
      return { dealing, path: pathTo(tree, holder), box: required(boxes.get(site)) };
    });
    return [site, { context, participants, dealings }];
  });
  const dealings = new Map(
    [...dealt].map(([site, { dealing, digests }]): [SiteId, Dealt] => [
      site,
      { body: dealing.body, digests },
    ]),
  );
  return {
    broadcast: new Map(deliveries),
    keep: { phase: "routed", attempt, mesh, keys, participants, dealings },
    refused,
  };
}

function dealtBy({ dealing, digests: encoded, boxes }: DealingMessage) {
  const digests = fromBase64Url(encoded);
  const boxTo = new Map(boxes.map(({ to, box }) => [to, box]));
  return { dealing, digests, tree: digestTree(digests), boxes: boxTo };
}

/**
 * What `route` asks of one message.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, round.not-open, secagg.bad-share
 */
export function assertDealing({ attempt, mesh }: Collected, message: DealingMessage): void {
  const { dealing, digests, boxes } = message;
  const { site, root } = verifyMember(attempt, "secagg-dealing", dealing);
  const holders = mesh.holders.get(site);
  if (holders === undefined) throw new ConsiliumError("round.not-open", { culprits: [site] });
  assertDigests(fromBase64Url(digests), holders.length, { site, root });
  const expected = holders.filter((holder) => holder !== site);
  const given = boxes.map(({ to }) => to).sort(compareSites);
  if (given.join() !== expected.join()) throw new ConsiliumError("secagg.bad-share", { culprits: [site] });
}
