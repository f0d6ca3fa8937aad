/**
 * Timing in turns, so that whatever slows the machine slows all alike, without the turns in which other programs took
 * part of it: they do not slow all alike, for PyTorch's threads wait for each other spinning and ours asleep.
 */
import os from "node:os";
import { setTimeout } from "node:timers/promises";
import type { Contestant } from "./contestant.ts";

/** Threads of a peer that has just worked spin for a while before they sleep. */
export const PAUSE_MS = 20;
/** Share of the machine's processor time in a turn that others may take. */
const LARGEST_FOREIGN_SHARE = 0.05;
/** A target is judged on at least so many undisturbed turns, and that many are tried in any case. */
const FEWEST_TURNS = 5;
/** On a busy machine, how long undisturbed turns are waited for. */
const PATIENCE_MS = 100_000;

export interface Turns<Extra> {
  /** Wall milliseconds by contestant. */
  readonly times: readonly (readonly number[])[];
  /** What was measured in between, turn by turn. */
  readonly between: readonly Extra[];
  /** Of how many turns these are the undisturbed ones. */
  readonly tried: number;
  /** False where too few turns were undisturbed: then these are all of them, and say little. */
  readonly undisturbed: boolean;
}

/**
 * @param wanted undisturbed turns
 * @param between measured once a turn, for example the machine's own rate
 */
export async function timeInTurns<Extra>(
  contestants: readonly Contestant[],
  wanted: number,
  between: () => Promise<Extra>,
): Promise<Turns<Extra>> {
  const fewest = Math.min(wanted, FEWEST_TURNS);
  const end = performance.now() + PATIENCE_MS;
  const turns: { readonly times: readonly number[]; readonly extra: Extra; readonly quiet: boolean }[] = [];
  const quietTurns = () => turns.filter(({ quiet }) => quiet);
  while (turns.length < fewest || (quietTurns().length < wanted && performance.now() < end)) {
    const machine = machineUse(contestants);
    const times: number[] = [];
    for (const contestant of contestants) {
      await setTimeout(PAUSE_MS);
      times.push((await contestant.step()).ms);
    }
    await setTimeout(PAUSE_MS);
    const extra = await between();
    turns.push({
      times,
      extra,
      quiet: foreignShare(machine, machineUse(contestants)) < LARGEST_FOREIGN_SHARE,
    });
  }
  const undisturbed = quietTurns().length >= fewest;
  const counted = undisturbed ? quietTurns() : turns;
  return {
    times: contestants.map((_, i) => counted.map(({ times }) => times[i] ?? NaN)),
    between: counted.map(({ extra }) => extra),
    tried: turns.length,
    undisturbed,
  };
}

interface MachineUse {
  /** Milliseconds of all cores together. */
  readonly all: number;
  readonly busy: number;
  /** Of those the ones that this process and the contestants took. */
  readonly own: number;
}

function machineUse(contestants: readonly Contestant[]): MachineUse {
  const times = os.cpus().map(({ times }) => times);
  const idle = times.reduce((sum, core) => sum + core.idle, 0);
  const busy = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
  const { user, system } = process.cpuUsage();
  const peers = contestants.reduce((sum, { processMs }) => sum + (processMs?.() ?? 0), 0);
  return { all: busy + idle, busy, own: (user + system) / 1000 + peers };
}

const foreignShare = (before: MachineUse, after: MachineUse): number =>
  (after.busy - before.busy - (after.own - before.own)) / (after.all - before.all);
