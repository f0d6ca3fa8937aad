/** Planted identifiers, wherever a DICOM file has room for one, and the search for what became of them. */
import { createRequire } from "node:module";
import {
  writeDicom,
  type FixtureElement,
  type FixtureOptions,
} from "../../site-agent/src/ingest/testing/dicom-fixture.ts";
import { encodeFrame } from "../../site-agent/src/ingest/testing/encode-frame.ts";
import type { FixtureImage } from "../../site-agent/src/ingest/testing/synthetic-image.ts";

export const CANARY = "CANARY";

/** The part of dcmjs that is used; the package has no types of its own. */
interface Dictionary {
  readonly data: {
    readonly DicomMetaDictionary: {
      readonly nameMap: Readonly<Record<string, { readonly tag: string; readonly vr: string }>>;
    };
  };
}

const TEXT_VRS = new Set("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split(" "));
/** How the pixels lie; with another word there the file is no image. */
const NEEDED = new Set(["00280004"]);
/** Where slices lie, what their values are, which series and patient they are of, and whether text is burned in. */
const NEEDED_OF_SLICES = new Set(
  "00080008 00080016 00080018 00080060 00100020 0020000d 0020000e 00200013 00200032 00200037 00280008 00280030 00280301 00281050 00281051 00281052 00281053".split(
    " ",
  ),
);

/** Every text element of the dictionary, groups of the meta header and of commands apart. */
export function textElements(): readonly FixtureElement[] {
  const { data } = createRequire(import.meta.url)("dcmjs") as Dictionary;
  const elements = new Map<string, FixtureElement>();
  for (const { tag, vr } of Object.values(data.DicomMetaDictionary.nameMap)) {
    const [, group, element] = /^\(([0-9A-F]{4}),([0-9A-F]{4})\)$/i.exec(tag) ?? [];
    if (group === undefined || element === undefined || !TEXT_VRS.has(vr)) continue;
    const name = `${group}${element}`.toLowerCase();
    if (group > "0004" && group < "7fe0" && !NEEDED.has(name)) elements.set(name, [name, vr, CANARY]);
  }
  return [...elements.values()];
}

const utf16 = (text: string): Uint8Array => Buffer.from(text, "utf16le");

/** What is not text, or not in the dictionary: private elements, overlays, icons, sequences within sequences. */
const HIDING_PLACES: readonly FixtureElement[] = [
  ["00080005", "CS", "ISO_IR 100"],
  ["00080008", "CS", `ORIGINAL\\PRIMARY\\${CANARY}`],
  ["00090010", "LO", `${CANARY} PRIVATE`],
  ["00091001", "UN", Buffer.from(`${CANARY} in bytes`)],
  ["00091002", "OB", utf16(`${CANARY} in wide letters`)],
  [
    "00091003",
    "SQ",
    {
      items: [
        [
          ["00100010", "PN", `${CANARY}^Private`],
          ["00091110", "UT", CANARY],
        ],
      ],
    },
  ],
  [
    "00400275",
    "SQ",
    {
      items: [
        [
          ["00400007", "LO", CANARY],
          ["00400008", "SQ", { items: [[["00080104", "LO", CANARY]]] }],
        ],
      ],
    },
  ],
  [
    "00880200",
    "SQ",
    {
      items: [
        [
          ["00280010", "US", 2],
          ["7fe00010", "OW", Buffer.from(`${CANARY}${CANARY}`)],
        ],
      ],
    },
  ],
  ["60000010", "US", 8],
  ["60000011", "US", 8],
  ["60000022", "LO", `${CANARY} overlay`],
  ["60000040", "CS", "G"],
  ["60003000", "OW", Buffer.from(`${CANARY} ${CANARY}`)],
  ["60021500", "LO", CANARY],
];

export interface Planted extends FixtureOptions {
  readonly number: number;
  readonly modality?: string;
  /** Leaves the wrong text in the elements that decide whether the image is used. */
  readonly image: FixtureImage;
}

/** A DICOM file with the word in every text element, its preamble, its meta header, private data and beyond the pixels. */
export async function plantedDicom({
  number,
  modality = "CR",
  image,
  ...options
}: Planted): Promise<Uint8Array> {
  const isJpeg = options.syntax === "jpeg" && options.pixelData === undefined;
  const file = await writeDicom(image, {
    ...options,
    ...(isJpeg ? { pixelData: withComment(await encodeFrame(image, "jpeg")) } : {}),
    elements: [
      ...textElements(),
      ...HIDING_PLACES,
      ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.1"],
      ["00080018", "UI", plantedUid(number)],
      ["00080060", "CS", modality],
      ["00100020", "LO", `${CANARY}-${number}`],
      ["00280008", "IS", ""],
      ["00280301", "CS", "NO"],
      ...(options.elements ?? []),
    ],
  });
  return withPlantedStart(file);
}

/** The word in all that a slice can say beside its place, its values and whose it is. */
export const plantedSlice = (): readonly FixtureElement[] =>
  [...textElements(), ...HIDING_PLACES].filter(([tag]) => !NEEDED_OF_SLICES.has(tag));

/** The word in a file's preamble and meta header. */
export function withPlantedStart(file: Uint8Array): Uint8Array {
  const bytes = Buffer.concat([
    file.subarray(0, 132),
    metaElement("16", "AE"),
    metaElement("13", "SH"),
    file.subarray(132),
  ]);
  bytes.write(`${CANARY} in the preamble`, 0, "latin1");
  return bytes;
}

export const plantedUid = (number: number): string => `2.25.${CANARY}.${number}`;

function metaElement(element: string, vr: string): Buffer {
  return Buffer.concat([
    Buffer.from([2, 0, parseInt(element, 16), 0]),
    Buffer.from(vr),
    Buffer.from([6, 0]),
    Buffer.from(CANARY),
  ]);
}

/** A comment marker (COM, ISO 10918-1 B.2.4.5) behind the start of the image. */
function withComment(jpeg: Uint8Array): Uint8Array {
  const comment = Buffer.from(`${CANARY} comment`);
  const marker = Buffer.from([0xff, 0xfe, 0, comment.length + 2]);
  return Buffer.concat([jpeg.subarray(0, 2), marker, comment, jpeg.subarray(2)]);
}

/** The word as bytes: in three spellings, as text, wide text, hexadecimal, and base64 at each of its three phases. */
const NEEDLES: readonly { readonly form: string; readonly bytes: Buffer }[] = [
  "CANARY",
  "Canary",
  "canary",
].flatMap((word) => {
  const hex = Buffer.from(word).toString("hex");
  const wide = Buffer.from(word, "utf16le");
  const needles = [
    { form: "plain", bytes: Buffer.from(word) },
    { form: "utf16le", bytes: wide },
    { form: "utf16be", bytes: Buffer.from(wide).swap16() },
    { form: "hex", bytes: Buffer.from(hex) },
    { form: "HEX", bytes: Buffer.from(hex.toUpperCase()) },
  ];
  for (const phase of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(phase), Buffer.from(word)]).toString("base64");
    // The characters that hold bits of nothing but the word; they are the same in base64url.
    const first = Math.ceil((phase * 8) / 6);
    const whole = Math.floor(((phase + word.length) * 8) / 6);
    needles.push({ form: `base64+${phase}`, bytes: Buffer.from(padded.slice(first, whole)) });
  }
  return needles;
});

/** The forms in which the word is in there. */
export const findCanary = (bytes: Buffer): readonly string[] =>
  NEEDLES.filter((needle) => bytes.includes(needle.bytes)).map(({ form }) => form);
