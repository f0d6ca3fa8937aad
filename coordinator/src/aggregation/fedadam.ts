/** FedAdam (Reddi et al. 2021, algorithm 2): v <- beta2 v + (1 - beta2) mean^2. */
import { adaptiveStep, type AdaptiveSettings } from "./adaptive.ts";

export const fedadam = (settings: AdaptiveSettings) =>
  adaptiveStep(settings, (second, square) => settings.beta2 * second + (1 - settings.beta2) * square);
