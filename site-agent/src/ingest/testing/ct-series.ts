/** A phantom chest in space, cut into slices of any orientation: DICOM series and NIfTI files of one and the same body. */
import { writeDicom, type FixtureElement } from "./dicom-fixture.ts";

type Vector = readonly [number, number, number];

/** HU at a place in millimetres: to the left, to the back, to the head, about the middle of the body. */
export function phantomHu(x: number, y: number, z: number): number {
  const inside = (cx: number, cy: number, cz: number, rx: number, ry: number, rz: number): boolean =>
    ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1;
  if (!inside(0, 0, 0, 90, 60, 80)) return -1000;
  if (inside(0, 45, 0, 10, 10, 70)) return 700; // spine, at the back
  if (inside(35, -5, 10, 30, 35, 45)) return -800; // the left lung, which is smaller
  if (inside(-38, -5, 15, 34, 38, 50)) return -850;
  if (inside(-30, -10, -60, 25, 25, 15)) return 60; // liver: below, to the right
  return 20 + 0.2 * y;
}

export interface CtSeries {
  readonly uid: string;
  readonly patient?: string;
  /** Directions of columns and rows, and of the slices. */
  readonly directions?: readonly [columns: Vector, rows: Vector, slices: Vector];
  readonly slices: number;
  readonly rows: number;
  readonly columns: number;
  readonly spacingMm: readonly [slice: number, row: number, column: number];
  /** Written besides, or instead of, the usual elements of slice `n`. */
  readonly elements?: (n: number) => readonly FixtureElement[];
}

export const AXIAL: NonNullable<CtSeries["directions"]> = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];
export const SAGITTAL: NonNullable<CtSeries["directions"]> = [
  [0, 1, 0],
  [0, 0, -1],
  [1, 0, 0],
];

/** Where the centre of a pixel lies. */
function place({ directions = AXIAL, slices, rows, columns, spacingMm }: CtSeries, at: Vector): Vector {
  const [alongColumns, alongRows, alongSlices] = directions;
  const [slice, row, column] = at;
  const steps = [
    (column - (columns - 1) / 2) * spacingMm[2],
    (row - (rows - 1) / 2) * spacingMm[1],
    (slice - (slices - 1) / 2) * spacingMm[0],
  ] as const;
  const along = (axis: 0 | 1 | 2): number =>
    alongColumns[axis] * steps[0] + alongRows[axis] * steps[1] + alongSlices[axis] * steps[2];
  return [along(0), along(1), along(2)];
}

/** HU of slice n, rows x columns. */
function slicePixels(series: CtSeries, n: number): number[] {
  const { rows, columns } = series;
  return Array.from({ length: rows * columns }, (_, i) =>
    phantomHu(...place(series, [n, Math.floor(i / columns), i % columns])),
  );
}

const geometry = (series: CtSeries, n: number): readonly FixtureElement[] => {
  const { directions = AXIAL, spacingMm } = series;
  return [
    [
      "00200032",
      "DS",
      place(series, [n, 0, 0])
        .map((mm) => mm.toFixed(4))
        .join("\\"),
    ],
    ["00200037", "DS", [...directions[0], ...directions[1]].join("\\")],
    ["00280030", "DS", `${spacingMm[1]}\\${spacingMm[2]}`],
  ];
};

/** As stored: 12 bits, HU + 1024; slice n may have another slope. */
const stored = (hu: readonly number[], slope: number, intercept: number): Uint8Array =>
  new Uint8Array(
    Uint16Array.from(hu, (value) => Math.max(0, Math.round((value - intercept) / slope))).buffer,
  );

const fixture = ({ rows, columns }: CtSeries, data: Uint8Array) => ({
  rows,
  columns,
  samples: 1 as const,
  photometric: "MONOCHROME2" as const,
  bitsAllocated: 16 as const,
  bitsStored: 16,
  signed: false,
  data,
});

const head = ({ uid, patient = "CANARY-1" }: CtSeries): readonly FixtureElement[] => [
  ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.2"],
  ["00080060", "CS", "CT"],
  ["00100020", "LO", patient],
  ["0020000d", "UI", `${uid}.0`],
  ["0020000e", "UI", uid],
];

/** One file for each slice, in the order of the slices. Rescale slopes differ from slice to slice. */
export function writeCtSeries(series: CtSeries): Promise<Uint8Array[]> {
  return Promise.all(
    Array.from({ length: series.slices }, (_, n) => {
      const slope = n % 2 === 0 ? 1 : 0.5;
      const pixels = stored(slicePixels(series, n), slope, -1024);
      return writeDicom(fixture(series, pixels), {
        elements: [
          ...head(series),
          ["00080018", "UI", `${series.uid}.${n + 1}`],
          ["00200013", "IS", `${n + 1}`],
          ["00281052", "DS", "-1024"],
          ["00281053", "DS", String(slope)],
          ...geometry(series, n),
          ...(series.elements?.(n) ?? []),
        ],
      });
    }),
  );
}

/** The same as one enhanced multi-frame file, its frames in reverse order. */
export function writeEnhancedCt(series: CtSeries): Promise<Uint8Array> {
  const order = Array.from({ length: series.slices }, (_, i) => series.slices - 1 - i);
  const { directions = AXIAL, spacingMm } = series;
  const frames = order.map((n) => stored(slicePixels(series, n), 1, -1024));
  const own = order.map((n): readonly FixtureElement[] => [
    [
      "00209113",
      "SQ",
      {
        items: [
          [
            [
              "00200032",
              "DS",
              place(series, [n, 0, 0])
                .map((mm) => mm.toFixed(4))
                .join("\\"),
            ],
          ],
        ],
      },
    ],
  ]);
  const shared: readonly FixtureElement[] = [
    ["00209116", "SQ", { items: [[["00200037", "DS", [...directions[0], ...directions[1]].join("\\")]]] }],
    ["00289110", "SQ", { items: [[["00280030", "DS", `${spacingMm[1]}\\${spacingMm[2]}`]]] }],
    [
      "00289145",
      "SQ",
      {
        items: [
          [
            ["00281052", "DS", "-1024"],
            ["00281053", "DS", "1"],
          ],
        ],
      },
    ],
  ];
  return writeDicom(fixture(series, frames[0] ?? new Uint8Array()), {
    frames,
    elements: [
      ...head(series),
      ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.2.1"],
      ["00080018", "UI", `${series.uid}.1`],
      ["52009229", "SQ", { items: [shared] }],
      ["52009230", "SQ", { items: own }],
      ...(series.elements?.(0) ?? []),
    ],
  });
}

/** The same as NIfTI-1 with an sform: int16, HU as they are. */
export function writeNifti(series: CtSeries): Uint8Array {
  const { directions = AXIAL, slices, rows, columns, spacingMm } = series;
  const bytes = new Uint8Array(352 + slices * rows * columns * 2);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  for (const [i, dim] of [3, columns, rows, slices, 1, 1, 1, 1].entries())
    view.setInt16(40 + 2 * i, dim, true);
  view.setInt16(70, 4, true); // int16
  view.setInt16(72, 16, true);
  for (const [i, mm] of [1, spacingMm[2], spacingMm[1], spacingMm[0]].entries())
    view.setFloat32(76 + 4 * i, mm, true);
  view.setFloat32(108, 352, true);
  view.setUint8(123, 2); // millimetres
  view.setInt16(254, 1, true); // sform
  const origin = place(series, [0, 0, 0]);
  // To the right and to the front, where DICOM has left and back.
  const sign = [-1, -1, 1] as const;
  for (const axis of [0, 1, 2] as const) {
    const row = [
      directions[0][axis] * spacingMm[2],
      directions[1][axis] * spacingMm[1],
      directions[2][axis] * spacingMm[0],
      origin[axis],
    ];
    for (const [i, value] of row.entries())
      view.setFloat32(280 + 16 * axis + 4 * i, sign[axis] * value, true);
  }
  bytes.set([0x6e, 0x2b, 0x31, 0], 344); // "n+1"
  for (let n = 0; n < slices; n++)
    for (const [i, hu] of slicePixels(series, n).entries())
      view.setInt16(352 + 2 * (n * rows * columns + i), Math.round(hu), true);
  return bytes;
}
