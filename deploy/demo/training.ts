/** Pre-training: all sites together, and each alone. */
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ServingCoordinator, SiteCommands } from "./commands.ts";
import { FederationWatch, standing } from "./watch.ts";

export async function trainTogether(
  sites: readonly SiteCommands[],
  coordinator: ServingCoordinator,
  coordinatorHome: string,
  say: (text: string) => void,
): Promise<FederationStatus> {
  const watch = new FederationWatch(coordinator.url, coordinatorHome);
  // What a site waits for, in its own words, until it goes on.
  const notes = new Map<string, string>();
  const agents = Promise.all(
    sites.map((site) =>
      site.takePart(({ note }) => {
        if (typeof note === "string") notes.set(site.site, `${site.site}: ${note}`);
        else notes.delete(site.site);
      }),
    ),
  );
  await watch.during(Promise.race([agents, coordinator.failed]), (status) => {
    say([standing(status), ...notes.values()].join(" · "));
  });
  return watch.status();
}

export async function trainAlone(
  sites: readonly SiteCommands[],
  rounds: number,
  say: (text: string) => void,
): Promise<void> {
  const where = new Map(sites.map(({ site }) => [site, "starting"]));
  // All at once: they differ in size, and the system shares the cores out evenly until the last one ends.
  await Promise.all(
    sites.map(async (site) => {
      await site.pretrain(rounds, ({ round, loss }) => {
        if (typeof round !== "number") return;
        where.set(site.site, `round ${round}${typeof loss === "number" ? ` loss ${loss.toFixed(3)}` : ""}`);
        say([...where].map(([name, text]) => `${name} ${text}`).join(" · "));
      });
      where.set(site.site, "done");
    }),
  );
}
