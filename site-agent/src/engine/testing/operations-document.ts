/** Writes docs/engine-operations.md from the tables that the tracer and the gradients are made of. */
import { compositions } from "../compositions/list.ts";
import { convolutionCompositions } from "../compositions/convolution.ts";
import { imageCompositions, imageGradientCompositions } from "../compositions/images.ts";
import { poolingCompositions } from "../compositions/pooling.ts";
import { flatKernels, gradientRules } from "../gradients/register.ts";
import { convolutionKernels } from "../tracer/convolution.ts";
import { elementwiseKernels } from "../tracer/elementwise.ts";
import { indexingKernels } from "../tracer/indexing.ts";
import { matMulKernels } from "../tracer/matmul.ts";
import { reductionKernels } from "../tracer/reductions.ts";
import { shapeKernels } from "../tracer/shapes.ts";
import { unsupportedKernels } from "../tracer/unsupported.ts";

type Named = readonly { readonly name: string }[];

const layers: Named = [...convolutionKernels, ...convolutionCompositions, ...poolingCompositions];
const images: Named = [...imageCompositions, ...imageGradientCompositions];
const placed = new Set([...layers, ...images].map(({ name }) => name));
const others: Named = compositions.filter(({ name }) => !placed.has(name));

const FAMILIES: readonly (readonly [string, Named])[] = [
  ["element by element", elementwiseKernels],
  ["reductions, softmax", reductionKernels],
  ["matrix products", matMulKernels],
  ["moving elements", shapeKernels],
  ["indices, creation", indexingKernels],
  ["convolution, pooling", layers],
  ["images and blocks", images],
  ["scatter, normalisation, scans, Einstein's sums", others],
];

const TEXT = `# Operations of the compiled engine

A model, a loss and a metric are written in TensorFlow.js operations and traced into one graph. These are the kernels of
TF.js that a graph may hold, as the tracer and the gradient rules list them; a test writes this page
(\`npx vitest run site-agent/src/engine/tracer/coverage.test.ts -u\`). The kernel contract runs each of them on every
engine, values and gradients, against TF.js' plain CPU backend, and each gradient against finite differences in float64.
`;

const NOTES = `
## Good to know

- **Shapes are static**, and nothing may be read while tracing. \`dataSync()\`, \`array()\` and Python-like \`if\`s on values
  throw \`engine.data-dependent\` with the kernel whose result was read; \`tf.where\` is the way to choose.
- **Randomness is drawn once.** \`tf.dropout\`, \`tf.randomNormal\` and their kin run on the host while tracing, so what they
  draw is a constant of the graph. Draw while preparing the batch and pass it in as an input.
- **Equal maxima.** \`maxPool\` gives the gradient to the first of several equal maxima in a window, row by row, and
  \`maxPool3d\` to the last, both as TF.js' CPU backend. \`max\` and \`min\` give each of them the whole gradient, as TF.js;
  of two equal operands of \`maximum\` and \`minimum\` the first gets all.
- **Better than TF.js' own gradients** in these places, all checked against finite differences: padded \`avgPool\`, \`resizeBilinear\` and
  \`resizeNearestNeighbor\` of pictures that are not square or with half-pixel centres, \`mirrorPad\`, \`maxPool3d\` with unequal rows and columns,
  \`matMul\` with broadcast batch axes, dilated convolutions, \`gather\` with several batch axes. TF.js has no gradient at all for
  \`stridedSlice\`, \`einsum\`, \`depthToSpace\`, \`topk\`, \`cumprod\`, \`diag\`, \`scatterND\` and \`conv3dTranspose\`.
- **Indices.** The gradient of a gather, and every scatter, is a product with one-hot rows: exact, in the same order of additions on
  every device, and as large as indices times rows. It suits embeddings and class tokens, not tables of millions of rows.
- **\`batchNorm\`** on a differentiated path wants \`offset\` and \`scale\`: TF.js itself fails without them.
- **Fused products** (\`tf.fused\`) take every activation forwards. On a differentiated path TF.js unfuses all but \`linear\`,
  and refuses that one with dilations.
- **Cost.** Channels are last in TF.js and second in ONNX; transposes between layers cancel. The filter's gradient is one product per tap
  from 16 channels on, otherwise a convolution. Pooling's gradient goes axis by axis.

## Adding a kernel

Write it as ONNX nodes in \`site-agent/src/engine/tracer\`, or in other TF.js operations in \`engine/compositions\` (then its gradient comes by
itself); add its gradient rule in \`engine/gradients\`, new ONNX operators to \`engine/graph/interpret\`, and a case in \`engine/testing/cases\`. The
coverage test names what is missing.
`;

export function operationsDocument(): string {
  return [TEXT, supportedTable(), NOTES, unsupportedTable()].join("\n");
}

function supportedTable(): string {
  const differentiable = new Set(gradientRules.map(({ kernelName }) => kernelName));
  const row = ([family, kernels]: (typeof FAMILIES)[number]): string => {
    const names = kernels.map(({ name }) => name).sort();
    const flat = names.filter((name) => flatKernels.has(name));
    const smooth = names.filter((name) => differentiable.has(name) && !flatKernels.has(name));
    const forward = names.filter((name) => !differentiable.has(name));
    return tableRow(family, smooth.join(", "), flat.join(", "), forward.join(", "));
  };
  return [
    "## Supported",
    "",
    tableRow("family", "with gradients", "whose gradient is zero", "forwards only"),
    tableRow("---", "---", "---", "---"),
    ...FAMILIES.map(row),
  ].join("\n");
}

/** Kernels with the same way out share a row. */
function unsupportedTable(): string {
  const rows = new Map<string, string[]>();
  for (const [name, { code, wayOut }] of unsupportedKernels) {
    const key = tableRow(`\`${code}\``, wayOut);
    rows.set(key, [...(rows.get(key) ?? []), name]);
  }
  return [
    "## Deliberately unsupported",
    "",
    "Each is refused by name while tracing, with this way out.",
    "",
    tableRow("kernels", "code", "way out"),
    tableRow("---", "---", "---"),
    ...[...rows].map(([row, names]) => `| ${names.join(", ")} ${row}`),
    "",
  ].join("\n");
}

const tableRow = (...cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
