/** The federations of this coordinator, by name. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationService } from "./service.ts";

export class Federations {
  readonly #services: ReadonlyMap<string, FederationService>;

  constructor(services: readonly FederationService[]) {
    this.#services = new Map(services.map((service) => [service.federation, service]));
  }

  /** @throws federation.unknown */
  get(federation: string): FederationService {
    const service = this.#services.get(federation);
    if (service === undefined) throw new ConsiliumError("federation.unknown");
    return service;
  }

  all(): readonly FederationService[] {
    return [...this.#services.values()];
  }
}
