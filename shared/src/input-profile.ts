/** What a plan says about the images themselves, resolved: every channel's range for every modality, and its hash. */
import { canonicalJson, sha256 } from "./canonical.ts";
import type { Sha256 } from "./ids.ts";
import { greySchema, type GreyProfile } from "./grey-schema.ts";
import type { DeepReadonly, Plan } from "./plan-schema.ts";

/** How one channel's range is found. */
export type GreyRange =
  /** Shares of the image's own pixels. */
  | { readonly range: "percentile"; readonly low: number; readonly high: number }
  /** Fixed, in rescaled units (HU for CT). */
  | { readonly range: "window"; readonly center: number; readonly width: number }
  /** The header's window, or the percentiles where it names none. */
  | { readonly range: "header" };

type PlannedInput = Pick<Plan, "grey" | "volume"> & { readonly model: Pick<Plan["model"], "channels"> };

/** One for each channel. */
export type ChannelRanges = readonly GreyRange[];

export interface InputProfile {
  readonly channels: number;
  /** By modality; `other` is for all that are not named. */
  readonly grey: { readonly [modality: string]: ChannelRanges; readonly other: ChannelRanges };
  /** The grid of volumes, or null where the plan is for images. */
  readonly volume: Plan["volume"];
}

export function inputProfile({ grey, model, volume }: PlannedInput): InputProfile {
  const { channels } = model;
  const ranges = ({ other, ...named }: Plan["grey"]): InputProfile["grey"] => ({
    ...Object.fromEntries(
      Object.entries(named).map(([modality, profile]) => [modality, channelRanges(profile, channels)]),
    ),
    other: channelRanges(other, channels),
  });
  return { channels, grey: ranges(grey), volume };
}

/** Only windows differ from channel to channel; other ranges repeat in each. */
function channelRanges(profile: DeepReadonly<GreyProfile>, channels: number): ChannelRanges {
  return Array.from({ length: channels }, (_, channel): GreyRange => {
    if (profile.range !== "windows") return profile;
    const [first] = profile.windows;
    const { center, width } = profile.windows[Math.min(channel, profile.windows.length - 1)] ?? first;
    return { range: "window", center, width };
  });
}

/** Grey images of one channel under the plan's defaults: what caches hold that name no profile. */
export const GREY_IMAGES: InputProfile = inputProfile({
  grey: greySchema.parse({}),
  model: { channels: 1 },
  volume: null,
});

export const rangesFor = ({ grey }: Pick<InputProfile, "grey">, modality: string): ChannelRanges =>
  grey[modality] ?? grey.other;

/** Names a profile: images under two hashes must not be mixed. */
export function inputProfileHash(profile: InputProfile): Sha256 {
  return sha256(canonicalJson({ ...profile }));
}
