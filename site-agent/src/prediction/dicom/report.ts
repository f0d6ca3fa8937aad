/** Boxes and classes as a structured report (PS3.16 TID 1500): one measurement group each, with the network's confidence. */
import type { NaturalDataset } from "./dcmjs.ts";
import {
  classCode,
  code,
  PRIVATE_SCHEME,
  referenceTo,
  uidOf,
  writeObject,
  type Maker,
  type SourceImage,
  type Stamp,
} from "./object.ts";

const COMPREHENSIVE_SR_STORAGE = "1.2.840.10008.5.1.4.1.1.88.33";

export interface Finding {
  readonly label: string;
  /** 0 to 1. */
  readonly confidence: number;
  /** Borders in pixels of the image, from the top left; null for the whole of it. */
  readonly box: {
    readonly left: number;
    readonly top: number;
    readonly right: number;
    readonly bottom: number;
  } | null;
}

/**
 * @param source whose patient and study it is, and from which its UIDs follow
 * @param images that it speaks of: the source, or all of a series
 */
export function writeReportObject(
  source: SourceImage,
  findings: readonly Finding[],
  maker: Maker,
  stamp: Stamp,
  images: readonly NaturalDataset[] = [referenceTo(source)],
): Uint8Array {
  return writeObject(
    source,
    {
      sopClassUid: COMPREHENSIVE_SR_STORAGE,
      modality: "SR",
      description: `Findings by ${maker.model}`,
      attributes: {
        ReferencedPerformedProcedureStepSequence: [],
        PerformedProcedureCodeSequence: [],
        CurrentRequestedProcedureEvidenceSequence: [
          {
            StudyInstanceUID: source.dataset.StudyInstanceUID,
            ReferencedSeriesSequence: [
              { SeriesInstanceUID: source.seriesInstanceUid, ReferencedSOPSequence: images },
            ],
          },
        ],
        CompletionFlag: "COMPLETE",
        // Nobody has looked at it.
        VerificationFlag: "UNVERIFIED",
        PreliminaryFlag: "PRELIMINARY",
        ValueType: "CONTAINER",
        ConceptNameCodeSequence: [code("126000", "DCM", "Imaging Measurement Report")],
        ContinuityOfContent: "SEPARATE",
        ContentTemplateSequence: [{ MappingResource: "DCMR", TemplateIdentifier: "1500" }],
        ContentSequence: [
          {
            ...coded("HAS CONCEPT MOD", code("121049", "DCM", "Language of Content Item and Descendants")),
            ConceptCodeSequence: [code("en", "RFC5646", "English")],
          },
          {
            ...coded("HAS OBS CONTEXT", code("121005", "DCM", "Observer Type")),
            ConceptCodeSequence: [code("121007", "DCM", "Device")],
          },
          {
            RelationshipType: "HAS OBS CONTEXT",
            ValueType: "UIDREF",
            ConceptNameCodeSequence: [code("121012", "DCM", "Device Observer UID")],
            UID: uidOf(`device ${maker.sha256}`),
          },
          {
            ...coded("HAS CONCEPT MOD", code("121058", "DCM", "Procedure reported")),
            ConceptCodeSequence: [code("363679005", "SCT", "Imaging procedure")],
          },
          container(
            code("126010", "DCM", "Imaging Measurements"),
            findings.map((finding, i) => measurementGroup(source, images, finding, i + 1, maker)),
          ),
        ],
      },
    },
    maker,
    stamp,
  );
}

/** TID 1411, or 1501 of whole images: what it is, where it is, how sure. */
function measurementGroup(
  source: SourceImage,
  images: readonly NaturalDataset[],
  { label, confidence, box }: Finding,
  number: number,
  { sha256 }: Maker,
): NaturalDataset {
  const image = (reference: NaturalDataset) => ({
    RelationshipType: "SELECTED FROM",
    ValueType: "IMAGE",
    ReferencedSOPSequence: [reference],
  });
  const where: readonly NaturalDataset[] =
    box === null
      ? images.map((reference) => ({
          ...image(reference),
          RelationshipType: "CONTAINS",
          ConceptNameCodeSequence: [code("121112", "DCM", "Source of Measurement")],
        }))
      : [
          {
            RelationshipType: "CONTAINS",
            ValueType: "SCOORD",
            ConceptNameCodeSequence: [code("111030", "DCM", "Image Region")],
            GraphicType: "POLYLINE",
            GraphicData: outline(box),
            ContentSequence: [image(referenceTo(source))],
          },
        ];
  return container(code("125007", "DCM", "Measurement Group"), [
    {
      RelationshipType: "HAS OBS CONTEXT",
      ValueType: "TEXT",
      ConceptNameCodeSequence: [code("112039", "DCM", "Tracking Identifier")],
      TextValue: `Finding ${number}`,
    },
    {
      RelationshipType: "HAS OBS CONTEXT",
      ValueType: "UIDREF",
      ConceptNameCodeSequence: [code("112040", "DCM", "Tracking Unique Identifier")],
      UID: uidOf(`finding ${sha256} ${source.sopInstanceUid} ${number}`),
    },
    {
      ...coded("CONTAINS", code("121071", "DCM", "Finding")),
      ConceptCodeSequence: [classCode(label)],
    },
    ...where,
    {
      RelationshipType: "CONTAINS",
      ValueType: "NUM",
      ConceptNameCodeSequence: [code("CONFIDENCE", PRIVATE_SCHEME, "Confidence of the network")],
      MeasuredValueSequence: [
        {
          NumericValue: confidence.toFixed(4),
          MeasurementUnitsCodeSequence: [code("1", "UCUM", "no units")],
        },
      ],
    },
  ]);
}

const coded = (relationship: string, concept: NaturalDataset): NaturalDataset => ({
  RelationshipType: relationship,
  ValueType: "CODE",
  ConceptNameCodeSequence: [concept],
});

const container = (concept: NaturalDataset, content: readonly NaturalDataset[]): NaturalDataset => ({
  RelationshipType: "CONTAINS",
  ValueType: "CONTAINER",
  ConceptNameCodeSequence: [concept],
  ContinuityOfContent: "SEPARATE",
  ...(content.length === 0 ? {} : { ContentSequence: content }),
});

/** Closed: its first point is its last. Column and row of each. */
const outline = ({ left, top, right, bottom }: NonNullable<Finding["box"]>): readonly number[] => [
  left,
  top,
  right,
  top,
  right,
  bottom,
  left,
  bottom,
  left,
  top,
];
