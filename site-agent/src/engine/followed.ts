/** Moving averages of weights, as outputs that replace the resident ones: the teacher of a contrastive task. */
import { followingSlots, type Layout, type Member, type Slot } from "./layout.ts";
import { areFinite } from "./optimizer.ts";
import { named, weightsName, type NamedTensors } from "./program.ts";
import { nextName } from "./runtime.ts";
import * as tf from "./tf.ts";

/**
 * @param updated what `updatedSlots` gave
 * @param checks as there: where the update has no effect, neither has this
 * @param tensors the weights before, by name
 */
export function followed(
  layout: Layout,
  updated: Readonly<Record<string, tf.Tensor>>,
  checks: readonly tf.Tensor[],
  tensors: NamedTensors,
): Record<string, tf.Tensor> {
  const followers = followingSlots(layout);
  if (followers.length === 0) return {};
  const places = new Map(
    layout.slots.flatMap((slot) =>
      slot.members.map((member): [string, Place] => [member.parameter.name, { slot, member }]),
    ),
  );
  const newest = (slot: Slot): tf.Tensor =>
    updated[nextName(weightsName(slot))] ?? named(tensors, weightsName(slot));
  const usable = areFinite(checks);
  return Object.fromEntries(
    followers.map((slot) => {
      const ahead = tf.concat(slot.members.map((member) => cut(placeOf(member, places), newest)));
      const momentum = tf.where(usable, slot.members[0]?.parameter.follows?.momentum ?? 1, 1);
      const own = named(tensors, weightsName(slot));
      const target = tf.reshape(ahead, [...slot.shape]);
      // momentum * own + (1 - momentum) * target: exact where the two are equal.
      const next = tf.add(own, tf.mul(tf.sub(1, momentum), tf.sub(target, own)));
      return [nextName(weightsName(slot)), next];
    }),
  );
}

interface Place {
  readonly slot: Slot;
  readonly member: Member;
}

/** @throws RangeError: a mistake in the definition */
function placeOf({ parameter, length }: Member, places: ReadonlyMap<string, Place>): Place {
  const place = places.get(parameter.follows?.parameter ?? "");
  if (place?.member.length !== length) throw new RangeError(`${parameter.name} follows nothing like it`);
  return place;
}

/** A parameter's elements, flat. */
function cut({ slot, member }: Place, weights: (slot: Slot) => tf.Tensor): tf.Tensor {
  const flat = tf.reshape(weights(slot), [slot.length]);
  return member.length === slot.length ? flat : tf.slice(flat, [member.offset], [member.length]);
}
