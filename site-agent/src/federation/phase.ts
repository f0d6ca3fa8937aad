/** What an agent is doing, in one word: for those who watch here, and for the coordinator. */
import type { SitePhase } from "@consilium/shared/protocol/round";
import type { AgentState, Task } from "./machine.ts";

/** `starting`: before there is a model, it fetches the one that the plan starts from. */
export type AgentPhase = "connecting" | "starting" | "waiting" | Task["kind"] | "finished";

export const SITE_PHASE: Readonly<Record<AgentPhase, SitePhase>> = {
  connecting: "idle",
  starting: "idle",
  waiting: "waiting",
  genesis: "uploading",
  fetching: "fetching",
  training: "training",
  fingerprinting: "waiting",
  sealing: "training",
  uploading: "uploading",
  finishing: "fetching",
  finished: "idle",
  advertising: "waiting",
  sharing: "waiting",
  voting: "waiting",
  releasing: "waiting",
};

export function phaseOf({ link, work }: AgentState): AgentPhase {
  if (work.kind === "finished") return "finished";
  if (work.kind === "busy" && work.running) return work.task.kind;
  return link === "online" ? "waiting" : "connecting";
}
