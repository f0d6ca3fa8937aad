/**
 * This site as a witness of the coordinator's audit log. It keeps every head that it has countersigned, and signs a new one
 * only when the log has grown from the last, line by line. So the coordinator cannot rewrite what was, nor show a site
 * another past than it did before.
 */
import { follows, type ChainHead } from "@consilium/shared/audit/chain";
import { sign, verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import { auditHeadSchema, auditShownSchema, type AuditHead } from "@consilium/shared/protocol/governance";
import { z } from "zod";
import type { Http } from "../federation/http.ts";
import { recorder, type Recorder, type RecordPorts } from "../federation/recorded.ts";
import { bearer, type Membership } from "../federation/session.ts";
import { chainedFile } from "../home/chain.ts";

const entrySchema = z.strictObject({ ...auditHeadSchema.shape, at: z.iso.datetime() });
export type WitnessedHead = z.infer<typeof entrySchema>;

export interface WitnessedHeads {
  add(head: WitnessedHead): Promise<void>;
  /** In the order in which they were signed. @throws audit.witness-broken, naming the line */
  of(federation: FederationId): Promise<readonly WitnessedHead[]>;
}

export function witnessedHeads(file: string): WitnessedHeads {
  const chained = chainedFile<WitnessedHead>(file, {
    start: "consilium/1 audit heads",
    parse: (value) => entrySchema.safeParse(value).data,
    broken: "audit.witness-broken",
  });
  return {
    add: (head) => chained.add(head),
    of: async (federation) => (await chained.entries()).filter((entry) => entry.federation === federation),
  };
}

export interface WitnessPorts extends RecordPorts {
  readonly http: Http;
  readonly heads: WitnessedHeads;
}

export class AuditWitness {
  readonly #ports: WitnessPorts;
  readonly #membership: Membership;
  readonly #record: Recorder;
  /** Of the last head whose signature the coordinator has taken in this run. */
  #given = 0;

  constructor(ports: WitnessPorts, membership: Membership) {
    this.#ports = ports;
    this.#membership = membership;
    this.#record = recorder(ports, membership.federation);
  }

  /**
   * Countersigns the newest head if it is new.
   * @throws audit.rewritten if the log did not grow out of what this site signed before; crypto.bad-signature,
   *   audit.witness-broken, coordinator.unreachable
   */
  async countersign(session: string): Promise<void> {
    const { heads, http, nowMs } = this.#ports;
    const { federation, site, identity } = this.#membership;
    const last = (await heads.of(federation)).at(-1) ?? null;
    const head = await this.#newest(last, session);
    if (head === null || head.seq === this.#given) return;
    // Kept before it is given away: what was signed once binds for ever.
    if (head.seq !== last?.seq) await heads.add({ ...head, at: new Date(nowMs()).toISOString() });
    const signed = sign("audit-countersignature", { ...head, site }, identity);
    const about = { kind: "audit-signature", round: head.round } as const;
    await this.#record(about, JSON.stringify(signed), () =>
      http.post(`api/federations/${federation}/countersignatures`, signed, z.strictObject({}), {
        headers: bearer(session),
      }),
    );
    this.#given = head.seq;
  }

  /** The newest head, once the whole way to it from the last one has been seen. */
  async #newest(last: AuditHead | null, session: string): Promise<AuditHead | null> {
    const { federation, coordinator } = this.#membership;
    let at: ChainHead | null = last;
    for (;;) {
      const { head: signed, links } = await this.#shown(at, session);
      if (signed === null) {
        if (last !== null) throw rewritten(last.seq);
        return null;
      }
      const head = verify("audit-head", signed, coordinator);
      if (head.federation !== federation) throw rewritten(head.seq);
      // A site that has just joined has seen nothing that the log could contradict.
      if (last === null || at === null) return head;
      if (head.seq < at.seq) throw rewritten(at.seq);
      // A head for each round, and a round for each head.
      if (head.seq === last.seq ? head.round !== last.round : head.round <= last.round) {
        throw rewritten(head.seq);
      }
      for (const link of links) {
        if (link.seq > head.seq || !follows(at, link)) throw rewritten(at.seq + 1);
        at = link;
      }
      if (at.seq === head.seq) {
        if (at.hash !== head.hash) throw rewritten(head.seq);
        return head;
      }
      if (links.length === 0) throw rewritten(at.seq + 1);
    }
  }

  #shown(after: ChainHead | null, session: string) {
    const { federation } = this.#membership;
    const query = after === null ? "" : `?after=${after.seq}`;
    const path = `api/federations/${federation}/audit${query}`;
    return this.#ports.http.read(path, auditShownSchema, { headers: bearer(session) });
  }
}

const rewritten = (line: number): ConsiliumError =>
  new ConsiliumError("audit.rewritten", { detail: `(line ${line})`, culprits: [String(line)] });
