/** The pretext task in words for people who train no networks. Importable by a browser. */
import type { Plan } from "./plan-schema.ts";
import type { taughtIn } from "./pretext-schema.ts";

type Pretext = Plan["pretext"];
type TaughtPlan = NonNullable<ReturnType<typeof taughtIn<Pretext>>>;

const NAMES: Readonly<Record<Pretext["task"], string>> = {
  mae: "masked autoencoding",
  simclr: "SimCLR",
  mocov3: "MoCo v3",
  vicreg: "VICReg",
  restoration: "restoration",
  classify: "classification",
  findings: "findings",
  masks: "segmentation",
};

export const pretextName = ({ task }: Pretext): string => NAMES[task];

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** One or two sentences: what the model is made to do with an image. */
export function pretextInWords(pretext: Pretext): string {
  switch (pretext.task) {
    case "mae":
      return `Masked autoencoding: ${percent(pretext.maskRatio)} of each image is hidden and the model draws it again.`;
    case "simclr":
      return "SimCLR: of two altered views of an image the model shall see that they belong together, and to no other image of the batch.";
    case "mocov3":
      return "MoCo v3: the model shall find the other altered view of an image among those of the batch, as a slower copy of itself sees them. The copy never leaves the site.";
    case "vicreg":
      return "VICReg: two altered views of an image shall be described alike, and different images differently.";
    case "restoration":
      return "Restoration: brightness is bent, small parts are shuffled, areas are painted over, and the model gives back the image as it was.";
    case "classify":
      return `Classification: the model learns from the sites' labels to tell apart ${pretext.classes.join(", ")}. ${whatStays(pretext)}`;
    case "findings":
      return `Findings: the model learns from the sites' labels whether an image shows ${pretext.classes.join(", ")}, each by itself. ${whatStays(pretext)}`;
    case "masks":
      return `Segmentation: the model learns from the sites' masks where an image shows ${pretext.classes.join(", ")}. ${whatStays(pretext)}`;
  }
}

const whatStays = ({ head, testShare }: TaughtPlan): string =>
  `No label leaves a site${head === "site" ? ", nor does the head that it learns them with" : ""}; ${percent(testShare)} of each site's labelled patients are kept to test on.`;
