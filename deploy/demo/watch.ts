/** Follows a federation through the coordinator's HTTP API. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsiliumError } from "@consilium/shared/errors";
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import { roundInWords } from "@consilium/shared/protocol/round";
import { FEDERATION } from "./plan.ts";
import { lossesOf } from "./rounds.ts";

const EVERY_MS = 500;

export class FederationWatch {
  readonly #url: URL;
  readonly #tokenFile: string;

  constructor(coordinatorUrl: string, coordinatorHome: string) {
    this.#url = new URL(`api/federations/${FEDERATION}`, coordinatorUrl);
    this.#tokenFile = join(coordinatorHome, "operator.token");
  }

  /** @throws coordinator.unreachable */
  async status(): Promise<FederationStatus> {
    const token = (await readFile(this.#tokenFile, "utf8")).trim();
    const response = await fetch(this.#url, { headers: { authorization: `Bearer ${token}` } }).catch(
      (cause: unknown) => {
        throw new ConsiliumError("coordinator.unreachable", { cause });
      },
    );
    if (!response.ok) throw new ConsiliumError("coordinator.unreachable", { detail: `(${response.status})` });
    return federationStatusSchema.parse(await response.json());
  }

  /**
   * Calls back until `work` settles. A status that cannot be had is passed over, and one that does not come is not waited for
   * any longer than `work`: it knows if that matters.
   */
  async during<T>(work: Promise<T>, onStatus: (status: FederationStatus) => void): Promise<T> {
    const settled = work.then(
      () => true,
      () => true,
    );
    do {
      const status = await Promise.race([this.status().catch(() => null), settled.then(() => null)]);
      if (status !== null) onStatus(status);
    } while (!(await Promise.race([settled, sleep(EVERY_MS, false)])));
    return work;
  }
}

/** One line on where the federation stands. */
export function standing(status: FederationStatus): string {
  const losses = lossesOf(status);
  const [first, last] = [losses[0], losses.at(-1)];
  const sites = status.sites.map(({ site, phase, done, total }) =>
    phase === "training" && total > 0 ? `${site} ${Math.round((100 * done) / total)} %` : `${site} ${phase}`,
  );
  return [
    roundInWords(status.round, status),
    ...(first === undefined || last === undefined
      ? []
      : [`loss ${last.toFixed(3)}${losses.length > 1 ? ` (${percent(last / first - 1)})` : ""}`]),
    // The sites wait then, and only the summary says why.
    ...(status.phase === "paused" ? [status.summary] : sites),
  ].join(" · ");
}

const percent = (change: number): string => `${change > 0 ? "+" : "−"}${Math.abs(100 * change).toFixed(0)} %`;
