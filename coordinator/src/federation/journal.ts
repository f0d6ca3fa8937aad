/** Commits what happened: the store first, then the ledger in memory, the log, and the audit file behind them. */
import { toConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import type { Logger } from "pino";
import { factData, factToAudit } from "../audit/events.ts";
import type { Store } from "../store/store.ts";
import type { Ledger } from "./ledger.ts";
import type { Fact } from "./types.ts";

export interface JournalPorts {
  readonly store: Store;
  readonly logger: Logger;
  /** Brings the audit file up to the store. */
  readonly followAudit: () => Promise<void>;
}

export class Journal {
  readonly #ports: JournalPorts;
  readonly #federation: FederationId;
  readonly #ledger: Ledger;

  constructor(ports: JournalPorts, federation: FederationId, ledger: Ledger) {
    this.#ports = ports;
    this.#federation = federation;
    this.#ledger = ledger;
  }

  /** All of them or, if the store fails, none. The audit file may lag: it is brought up with the next commit. */
  async commit(facts: readonly Fact[], atMs: number): Promise<void> {
    const { store, logger, followAudit } = this.#ports;
    const federation = this.#federation;
    const audit = facts.map((fact) => factToAudit(federation, fact, atMs));
    await store.commit(federation, facts, atMs, audit);
    for (const fact of facts) {
      this.#ledger.apply(fact, atMs);
      logger.info({ federation, ...factData(fact) }, fact.fact);
    }
    followAudit().catch((error: unknown) => {
      logger.error({ code: toConsiliumError(error).code }, "the audit file lags behind the store");
    });
  }
}
