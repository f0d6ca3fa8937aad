/** What the plan asks of a site's images. */
import { GREY_IMAGES, inputProfile, type InputProfile } from "@consilium/shared/input-profile";
import type { Home } from "../home/home.ts";

/**
 * What the plan asks for, so that all sites' images are alike; its defaults at a site that has not joined yet.
 * @throws home.not-joined if neither a plan nor an option says how large images are
 */
export async function plannedImages(
  home: Home,
  size: number | undefined,
): Promise<{ readonly sizePx: number; readonly profile: InputProfile }> {
  const { enrolment } = await home.readConfig();
  if (enrolment === null && size !== undefined) return { sizePx: size, profile: GREY_IMAGES };
  const { plan } = await home.joined();
  return { sizePx: size ?? plan.cachePx, profile: inputProfile(plan) };
}
