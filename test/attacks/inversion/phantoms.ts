/** Small phantom radiographs: what a patient's image is to these attacks. */
import { drawPhysique, drawPose } from "../../../deploy/demo/phantom/anatomy.ts";
import { project } from "../../../deploy/demo/phantom/thorax.ts";
import { Random } from "../../../site-agent/src/dataset/random.ts";

/** Path length that is shown white. */
const WHITE = 1.6;
/** Rays for each pixel and direction, so that edges are not jagged. */
const OVERSAMPLING = 2;

/** Bone bright, air dark, 0 to 255, row-major; each seed is another patient. */
export function phantom(seed: number, sizePx: number): Float32Array {
  const random = new Random(seed, 77);
  const physique = drawPhysique(random);
  const fine = sizePx * OVERSAMPLING;
  const { path } = project({ physique, pose: drawPose(random), opacities: [] }, fine, fine, random);
  const image = new Float32Array(sizePx ** 2);
  for (const [i, length] of path.entries()) {
    const row = Math.floor(i / fine / OVERSAMPLING);
    const column = Math.floor((i % fine) / OVERSAMPLING);
    const share = Math.min(255, (255 * length) / WHITE) / OVERSAMPLING ** 2;
    const at = row * sizePx + column;
    image[at] = (image[at] ?? 0) + share;
  }
  return image;
}
