/**
 * The keys of the other sites, as this one knows them: pinned when they are first seen. A key that is shown once stays;
 * another one for the same site is refused until a person has compared fingerprints (`consilium-site policy`).
 */
import { fingerprint } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, type FederationId, type SiteId } from "@consilium/shared/ids";
import { rosterSchema, type Roster } from "@consilium/shared/secagg/attempt";
import { z } from "zod";
import { readTextIfPresent, writeFileAtomic } from "../../home/files.ts";

const pinsSchema = z.strictObject({
  schemaVersion: z.literal(1),
  federation: federationIdSchema,
  members: rosterSchema,
});

export interface PinnedSite {
  readonly site: SiteId;
  readonly fingerprint: string;
}

export interface Pins {
  /**
   * Takes note of sites that are new; they are on disk when it returns.
   * @returns the sites that were not known before
   * @throws secagg.roster-changed, naming the sites whose key is another than the pinned one
   */
  accept(federation: FederationId, members: Roster): Promise<readonly PinnedSite[]>;
  /** Forgets a site's key, so that the next one is pinned. @returns whether there was one */
  forget(site: string): Promise<boolean>;
}

export function pinsFile(file: string): Pins {
  const read = async (): Promise<z.infer<typeof pinsSchema> | null> => {
    const text = await readTextIfPresent(file);
    if (text === null) return null;
    const parsed = pinsSchema.safeParse(parseOrNull(text));
    // A damaged file must not look like a first meeting: that would be the way to slip other keys in.
    if (!parsed.success) throw new ConsiliumError("config.invalid", { detail: "(roster.json is damaged)" });
    return parsed.data;
  };
  const write = (federation: FederationId, members: Roster): Promise<void> =>
    writeFileAtomic(file, `${JSON.stringify({ schemaVersion: 1, federation, members }, null, 2)}\n`);
  return {
    async accept(federation, members) {
      const held = await read();
      const pinned = held?.federation === federation ? held.members : [];
      const known = new Map(pinned.map(({ site, identity }) => [site, identity]));
      const changed = members.filter(({ site, identity }) => {
        const before = known.get(site);
        return (
          before !== undefined &&
          (before.signingKey !== identity.signingKey || before.sealingKey !== identity.sealingKey)
        );
      });
      if (changed.length > 0) {
        throw new ConsiliumError("secagg.roster-changed", { culprits: changed.map(({ site }) => site) });
      }
      const added = members.filter(({ site }) => !known.has(site));
      if (added.length > 0) await write(federation, [...pinned, ...added]);
      return added.map(({ site, identity }) => ({ site, fingerprint: fingerprint(identity) }));
    },
    async forget(site) {
      const held = await read();
      const left = held?.members.filter((member) => member.site !== site) ?? [];
      if (held === null || left.length === held.members.length) return false;
      await write(held.federation, left);
      return true;
    },
  };
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
