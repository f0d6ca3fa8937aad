/** The kernel contract: what every engine must compute as TF.js' CPU backend does, by family. */
import type { ContractCase } from "./case.ts";
import { convolutionCases } from "./convolution.ts";
import { elementwiseCases } from "./elementwise.ts";
import { imageCases } from "./images.ts";
import { indexCases } from "./indices.ts";
import { moveCases } from "./moves.ts";
import { productCases } from "./products.ts";
import { reductionCases } from "./reductions.ts";

export const contractFamilies = {
  "element by element": elementwiseCases,
  reductions: reductionCases,
  products: productCases,
  moves: moveCases,
  indices: indexCases,
  convolution: convolutionCases,
  images: imageCases,
} as const satisfies Record<string, readonly ContractCase[]>;

export type Family = keyof typeof contractFamilies;
