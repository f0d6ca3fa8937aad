/** What an earlier run of the agent left ready to be sent. */
import { planHash, type Plan } from "@consilium/shared/plan";
import type { RoundKey } from "./outbox.ts";
import type { Membership } from "./session.ts";
import type { TaskPorts, Tasks } from "./tasks.ts";

export async function leftReady(
  { outbox }: Pick<TaskPorts, "outbox">,
  tasks: Pick<Tasks, "maskedReady">,
  { plan, membership }: { readonly plan: Plan; readonly membership: Membership },
): Promise<RoundKey | null> {
  if (plan.aggregation.secure === "masked") return tasks.maskedReady();
  const left = await outbox.read();
  const ours = left?.body.planHash === planHash(plan) && left.body.site === membership.site;
  return ours ? left.body : null;
}
