/** What an earlier run of the agent left ready to be sent. */
import { planHash } from "@consilium/shared/plan";
import type { AgentOptions } from "./agent.ts";
import type { RoundKey } from "./outbox.ts";
import type { TaskPorts, Tasks } from "./tasks.ts";

export async function leftReady(
  { outbox }: Pick<TaskPorts, "outbox">,
  tasks: Pick<Tasks, "maskedReady">,
  { plan, membership }: Pick<AgentOptions, "plan" | "membership">,
): Promise<RoundKey | null> {
  if (plan.aggregation.secure === "masked") return tasks.maskedReady();
  const left = await outbox.read();
  const ours = left?.body.planHash === planHash(plan) && left.body.site === membership.site;
  return ours ? left.body : null;
}
