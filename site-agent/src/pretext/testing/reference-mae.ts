/**
 * MAE's loss in float64 and plain loops, in the order of the paper's code: tokens are put back into image order before
 * the decoder, all patches are predicted, and the loss is masked. Shares no code with what it checks, except positions.
 */
import { sinCosPositions, sinCosVolumePositions } from "../../model/positions.ts";
import type { MaeConfig } from "../mae.ts";

/** Weights by name, row-major. */
export type Weights = ReadonlyMap<string, ArrayLike<number>>;
type Matrix = number[][];

/**
 * @param images one each: [(depthPx *) imagePx * imagePx * channels], as the network sees them
 * @param orders one each: a permutation of the patches, visible first
 */
export function referenceMaeLoss(
  weights: Weights,
  images: readonly ArrayLike<number>[],
  orders: readonly ArrayLike<number>[],
  config: MaeConfig,
): number {
  const losses = images.map((image, i) => {
    const { visible, encoder, decoder } = config;
    const order = Array.from(orders[i] ?? []);
    const patches = cutPatches(standardiseImage(Array.from(image)), config); // [L, P]
    // Encoder: all patches are embedded, then the visible ones kept.
    const embedded = add(dense(weights, "patch_embed.proj", patches), positionRows(config, encoder.width));
    const kept = order.slice(0, visible).map((patch) => rowOf(embedded, patch));
    let x: Matrix = [numbers(weights, "cls_token"), ...kept];
    for (let b = 0; b < encoder.depth; b++) x = block(weights, `blocks.${b}`, x, encoder.heads);
    x = norm(weights, "norm", x);

    // Decoder: mask tokens appended, everything unshuffled.
    const [cls = [], ...latent] = dense(weights, "decoder_embed", x);
    const shuffled = order.map((_, at) =>
      at < visible ? rowOf(latent, at) : numbers(weights, "mask_token"),
    );
    const restored = order.map((_, patch) => rowOf(shuffled, order.indexOf(patch)));
    let y: Matrix = [cls, ...add(restored, positionRows(config, decoder.width))];
    for (let b = 0; b < decoder.depth; b++) y = block(weights, `decoder_blocks.${b}`, y, decoder.heads);
    const prediction = dense(weights, "decoder_pred", norm(weights, "decoder_norm", y)).slice(1); // [L, P]

    const target = config.normPixLoss ? patches.map(standardisePatch) : patches;
    const perPatch = target.map((patch, p) =>
      meanOf(patch.map((v, j) => (v - at(rowOf(prediction, p), j)) ** 2)),
    );
    const isMasked = target.map((_, patch) => (order.indexOf(patch) < visible ? 0 : 1));
    return sumOf(perPatch.map((loss, p) => loss * at(isMasked, p))) / sumOf(isMasked);
  });
  return meanOf(losses);
}

/** An image is a volume of one slice. */
function cutPatches(image: readonly number[], { encoder }: MaeConfig): Matrix {
  const { imagePx, patchPx, channels, volume = { depthPx: 1, patchDepthPx: 1 } } = encoder;
  const grid = imagePx / patchPx;
  const layers = volume.depthPx / volume.patchDepthPx;
  return Array.from({ length: layers * grid * grid }, (_, patch) => {
    const values: number[] = [];
    for (let z = 0; z < volume.patchDepthPx; z++) {
      for (let y = 0; y < patchPx; y++) {
        for (let x = 0; x < patchPx; x++) {
          for (let channel = 0; channel < channels; channel++) {
            const slice = Math.floor(patch / (grid * grid)) * volume.patchDepthPx + z;
            const row = (Math.floor(patch / grid) % grid) * patchPx + y;
            const column = (patch % grid) * patchPx + x;
            values.push(at(image, ((slice * imagePx + row) * imagePx + column) * channels + channel));
          }
        }
      }
    }
    return values;
  });
}

function standardiseImage(image: readonly number[]): number[] {
  const unit = image.map((v) => v / 255);
  const mean = meanOf(unit);
  const variance = meanOf(unit.map((v) => (v - mean) ** 2));
  return unit.map((v) => (v - mean) / Math.sqrt(variance + 1e-6));
}

function standardisePatch(patch: readonly number[]): number[] {
  const mean = meanOf(patch);
  const variance = sumOf(patch.map((v) => (v - mean) ** 2)) / (patch.length - 1);
  return patch.map((v) => (v - mean) / Math.sqrt(variance + 1e-6));
}

function block(weights: Weights, name: string, x: Matrix, heads: number): Matrix {
  const width = rowOf(x, 0).length;
  const qkv = dense(weights, `${name}.attn.qkv`, norm(weights, `${name}.norm1`, x));
  const headWidth = width / heads;
  const mixed = x.map(() => new Array<number>(width).fill(0));
  for (let head = 0; head < heads; head++) {
    const part = (which: number, token: number): number[] => {
      const from = which * width + head * headWidth;
      return rowOf(qkv, token).slice(from, from + headWidth);
    };
    for (let i = 0; i < x.length; i++) {
      const query = part(0, i);
      const scores = x.map(
        (_, j) => sumOf(part(1, j).map((k, d) => k * at(query, d))) / Math.sqrt(headWidth),
      );
      const exponentials = scores.map((score) => Math.exp(score - Math.max(...scores)));
      for (let j = 0; j < x.length; j++) {
        const share = at(exponentials, j) / sumOf(exponentials);
        const into = rowOf(mixed, i);
        for (const [d, v] of part(2, j).entries()) {
          into[head * headWidth + d] = at(into, head * headWidth + d) + share * v;
        }
      }
    }
  }
  const attended = add(x, dense(weights, `${name}.attn.proj`, mixed));
  const hidden = dense(weights, `${name}.mlp.fc1`, norm(weights, `${name}.norm2`, attended));
  const activated = hidden.map((row) => row.map((v) => (v / 2) * (1 + erf(v / Math.SQRT2))));
  return add(attended, dense(weights, `${name}.mlp.fc2`, activated));
}

function dense(weights: Weights, name: string, x: Matrix): Matrix {
  const weight = numbers(weights, `${name}.weight`);
  const bias = numbers(weights, `${name}.bias`);
  return x.map((row) =>
    bias.map((b, out) => b + sumOf(row.map((v, i) => v * at(weight, i * bias.length + out)))),
  );
}

function norm(weights: Weights, name: string, x: Matrix): Matrix {
  const gain = numbers(weights, `${name}.weight`);
  const bias = numbers(weights, `${name}.bias`);
  return x.map((row) => {
    const mean = meanOf(row);
    const variance = meanOf(row.map((v) => (v - mean) ** 2));
    return row.map((v, i) => ((v - mean) / Math.sqrt(variance + 1e-6)) * at(gain, i) + at(bias, i));
  });
}

function positionRows({ encoder }: MaeConfig, width: number): Matrix {
  const { imagePx, patchPx, volume } = encoder;
  const grid = imagePx / patchPx;
  const layers = volume === undefined ? null : volume.depthPx / volume.patchDepthPx;
  const flat = Array.from(
    layers === null ? sinCosPositions(grid, width) : sinCosVolumePositions(layers, grid, width),
  );
  return Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
}

/** Maclaurin series: exact to float64 for the small arguments of these tests. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const add = (a: Matrix, b: Matrix): Matrix => a.map((row, i) => row.map((v, j) => v + at(rowOf(b, i), j)));
const sumOf = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);
const meanOf = (values: readonly number[]): number => sumOf(values) / values.length;
const numbers = (weights: Weights, name: string): number[] => Array.from(weights.get(name) ?? []);

function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`no element ${index}`);
  return value;
}

function rowOf(matrix: Matrix, index: number): number[] {
  const row = matrix[index];
  if (row === undefined) throw new RangeError(`no row ${index}`);
  return row;
}
