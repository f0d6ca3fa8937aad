/**
 * How the flat vector of weights is cut into the tensors that live in the compiled graph.
 * Large parameters are a slot each; small ones of the same kind share one, so that the optimiser runs a few
 * operations on a long vector and not the same few on each of many short ones.
 */
import { sizeOf } from "./graph/ir.ts";
import type { Parameter } from "./types.ts";

/** Parameters below this many elements share a slot. */
const SMALL_ELEMENTS = 4096;

export interface Member {
  readonly parameter: Parameter;
  /** First element within the slot. */
  readonly offset: number;
  readonly length: number;
  /** First element within the flat vector. */
  readonly flatOffset: number;
}

export interface Slot {
  /** Name of the graph's inputs and outputs for it. */
  readonly name: string;
  /** A single parameter's own shape, or [length] when shared. */
  readonly shape: readonly number[];
  readonly length: number;
  readonly members: readonly Member[];
  readonly decay: boolean;
  readonly learningRateScale: number;
}

export interface Layout {
  readonly slots: readonly Slot[];
  /** Elements of the flat vector. */
  readonly length: number;
}

export function layOut(parameters: readonly Parameter[]): Layout {
  const groups = new Map<string, Omit<Member, "offset">[]>();
  let length = 0;
  for (const parameter of parameters) {
    const member = { parameter, length: sizeOf(parameter.shape), flatOffset: length };
    length += member.length;
    const { decay, learningRateScale, follows } = parameter;
    const kind = `${String(decay)} ${learningRateScale} ${follows?.momentum ?? ""}`;
    const key = member.length < SMALL_ELEMENTS ? kind : `${kind} ${member.flatOffset}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [member]);
    else group.push(member);
  }
  return { slots: [...groups.values()].map(toSlot), length };
}

/** Slots that training changes. */
export const trainableSlots = ({ slots }: Layout): readonly Slot[] =>
  slots.filter((slot) => slot.learningRateScale !== 0);

/** Slots whose weights follow others. */
export const followingSlots = ({ slots }: Layout): readonly Slot[] =>
  slots.filter(({ members: [first] }) => first?.parameter.follows !== undefined);

function toSlot(group: readonly Omit<Member, "offset">[], index: number): Slot {
  let length = 0;
  const members = group.map((member) => {
    const offset = length;
    length += member.length;
    return { ...member, offset };
  });
  const [first] = members;
  if (first === undefined) throw new RangeError("a slot holds at least one parameter");
  const { decay, learningRateScale } = first.parameter;
  const shape = members.length === 1 ? first.parameter.shape : [length];
  return { name: `slot${index}`, shape, length, members, decay, learningRateScale };
}

/** Copies the flat vector into one array per slot. */
export function scatter(slot: Slot, flat: Float32Array, out: Float32Array): void {
  for (const { offset, length, flatOffset } of slot.members) {
    out.set(flat.subarray(flatOffset, flatOffset + length), offset);
  }
}

/** Copies one slot's array back into the flat vector. */
export function gather(slot: Slot, values: Float32Array, flat: Float32Array): void {
  for (const { offset, length, flatOffset } of slot.members) {
    flat.set(values.subarray(offset, offset + length), flatOffset);
  }
}
