/**
 * The roster as this site knows it: keys, pinned when they are first seen. After that a site is added only with the
 * signatures of most of the pinned ones, which are checked here; the coordinator's word is not enough.
 */
import { printOf, type Print } from "@consilium/shared/crypto/words";
import { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, type FederationId, type SiteId } from "@consilium/shared/ids";
import {
  followChanges,
  sameKeys,
  type RosterChange,
  type VersionedRoster,
} from "@consilium/shared/roster/roster";
import { rosterHash, rosterSchema, type Roster } from "@consilium/shared/secagg/attempt";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { readTextIfPresent, writeFileAtomic } from "../home/files.ts";

const pinsSchema = z.strictObject({
  schemaVersion: z.literal(1),
  federation: federationIdSchema,
  version: z.int().min(1).default(1),
  members: rosterSchema,
});

export interface PinnedSite extends Print {
  readonly site: SiteId;
}

/** What is different from before. */
export interface RosterNews {
  /** Everybody, when nothing was pinned before. */
  readonly added: readonly PinnedSite[];
  readonly removed: readonly SiteId[];
}

export interface Pins {
  /** What is pinned in this federation, if anything. @throws config.invalid */
  read(federation: FederationId): Promise<VersionedRoster | null>;
  /**
   * Takes over a roster: the first one as it is shown, a later one if the changes in between lead to it. It is on disk when
   * this returns.
   * @param changes asked for only where they are needed
   * @throws secagg.roster-changed, naming the sites whose keys are not what the changes lead to; roster.rolled-back,
   *   roster.not-endorsed, crypto.bad-signature, config.invalid
   */
  accept(wanted: VersionedRoster, changes: () => Promise<readonly RosterChange[]>): Promise<RosterNews>;
}

export function pinsFile(file: string): Pins {
  const read = async (federation: FederationId): Promise<VersionedRoster | null> => {
    const text = await readTextIfPresent(file);
    if (text === null) return null;
    const parsed = pinsSchema.safeParse(jsonOrNull(text));
    // A damaged file must not look like a first meeting: that would be the way to slip other keys in.
    if (!parsed.success) throw new ConsiliumError("config.invalid", { detail: "(roster.json is damaged)" });
    const { version, members } = parsed.data;
    return parsed.data.federation === federation ? { federation, version, members } : null;
  };
  const write = (roster: VersionedRoster): Promise<void> =>
    writeFileAtomic(file, `${JSON.stringify({ schemaVersion: 1, ...roster }, null, 2)}\n`);
  return {
    read,
    async accept(wanted, changes) {
      const held = await read(wanted.federation);
      if (held === null) {
        await write(wanted);
        return { added: wanted.members.map(pinned), removed: [] };
      }
      if (held.version > wanted.version) throw new ConsiliumError("roster.rolled-back");
      const next =
        held.version === wanted.version ? held : followChanges(held, await changes(), wanted.version);
      if (rosterHash(next.members) !== rosterHash(wanted.members) || next.version !== wanted.version) {
        const culprits = differing(next.members, wanted.members);
        throw new ConsiliumError("secagg.roster-changed", { culprits });
      }
      if (next.version !== held.version) await write(next);
      return {
        added: next.members.filter((member) => !includes(held.members, member)).map(pinned),
        removed: held.members.filter((member) => !includes(next.members, member)).map(({ site }) => site),
      };
    },
  };
}

type Member = Roster[number];

const pinned = ({ site, identity }: Member): PinnedSite => ({ site, ...printOf(identity) });

const includes = (members: Roster, { site, identity }: Member): boolean =>
  members.some((other) => other.site === site && sameKeys(other.identity, identity));

function differing(a: Roster, b: Roster): readonly SiteId[] {
  const odd = [...a.filter((member) => !includes(b, member)), ...b.filter((member) => !includes(a, member))];
  return [...new Set(odd.map(({ site }) => site))].sort();
}
