/** FedYogi (Reddi et al. 2021, algorithm 2): v <- v - (1 - beta2) mean^2 sign(v - mean^2), which never falls fast. */
import { adaptiveStep, type AdaptiveSettings } from "./adaptive.ts";

export const fedyogi = (settings: AdaptiveSettings) =>
  adaptiveStep(
    settings,
    (second, square) => second - (1 - settings.beta2) * square * Math.sign(second - square),
  );
