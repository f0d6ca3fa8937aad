/** The federations that this coordinator runs, each with its council: opened from the store's rows, and closed. */
import { toConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import type { FederationPorts } from "./federation/ports.ts";
import type { Federations } from "./federation/registry.ts";
import { FederationService } from "./federation/service.ts";
import { Council, type CouncilPorts } from "./governance/council.ts";
import type { FederationRow } from "./store/store.ts";

export type RunningPorts = FederationPorts & Omit<CouncilPorts, "onTrouble">;

export class Running {
  readonly councils: ReadonlyMap<string, Council>;
  readonly #ports: RunningPorts;
  readonly #federations: Federations;
  readonly #councils = new Map<string, Council>();

  constructor(ports: RunningPorts, federations: Federations) {
    this.#ports = ports;
    this.#federations = federations;
    this.councils = this.#councils;
  }

  /** @param mayRun is asked once it could; if not, it is closed again */
  async start(row: FederationRow, mayRun: () => boolean = () => true): Promise<void> {
    const service = await FederationService.open(this.#ports, row);
    try {
      const council = await this.#openCouncil(service);
      if (mayRun()) {
        this.#councils.set(row.federation, council);
        this.#federations.add(service);
        return;
      }
      await council.close();
    } catch (error) {
      await service.close();
      throw error;
    }
    await service.close();
  }

  async stop(federation: FederationId): Promise<void> {
    const council = this.#councils.get(federation);
    this.#councils.delete(federation);
    const service = this.#federations.remove(federation);
    await council?.close();
    await service?.close();
  }

  /** What was committed is all there is; nobody is told. */
  async close(): Promise<void> {
    for (const council of this.#councils.values()) await council.close();
    for (const service of this.#federations.all()) await service.close();
  }

  #openCouncil(service: FederationService): Promise<Council> {
    const { federation } = service;
    const onTrouble = (error: unknown): void => {
      const { code } = toConsiliumError(error);
      this.#ports.logger.error({ federation, code }, "will be tried again after the next round");
    };
    return Council.open({ ...this.#ports, onTrouble }, service);
  }
}
