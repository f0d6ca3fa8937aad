/** The federations that this coordinator runs, by name. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import type { FederationService } from "./service.ts";

export class Federations {
  readonly #services = new Map<string, FederationService>();
  readonly #followers = new Set<(service: FederationService) => () => void>();
  readonly #endOf = new Map<string, (() => void)[]>();
  readonly #runsElsewhere: (federation: string) => boolean;

  /** @param runsElsewhere whether another coordinator has it, or will */
  constructor(runsElsewhere: (federation: string) => boolean = () => false) {
    this.#runsElsewhere = runsElsewhere;
  }

  add(service: FederationService): void {
    this.#services.set(service.federation, service);
    this.#endOf.set(
      service.federation,
      [...this.#followers].map((follower) => follower(service)),
    );
  }

  /** @returns what ran until now */
  remove(federation: FederationId): FederationService | undefined {
    const service = this.#services.get(federation);
    this.#services.delete(federation);
    for (const end of this.#endOf.get(federation) ?? []) end();
    this.#endOf.delete(federation);
    return service;
  }

  /** @param follower is called for each federation, now or once it runs; what it returns is called when it does no more */
  follow(follower: (service: FederationService) => () => void): void {
    this.#followers.add(follower);
    for (const service of this.all()) this.#endOf.get(service.federation)?.push(follower(service));
  }

  has(federation: string): boolean {
    return this.#services.has(federation);
  }

  /** @throws federation.unknown; lease.lost if it runs elsewhere */
  get(federation: string): FederationService {
    const service = this.#services.get(federation);
    if (service !== undefined) return service;
    throw new ConsiliumError(this.#runsElsewhere(federation) ? "lease.lost" : "federation.unknown");
  }

  all(): readonly FederationService[] {
    return [...this.#services.values()];
  }
}
