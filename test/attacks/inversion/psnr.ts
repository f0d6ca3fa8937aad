/** How alike two images are. */

/**
 * Peak signal-to-noise ratio in dB, once brightness and contrast are fitted: the model standardises each image, so that no
 * gradient knows them. Two unrelated images have what a flat grey picture has, 10 to 15 dB.
 */
export function psnr(guess: Float32Array, truth: Float32Array): number {
  const mean = (values: Float32Array): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [guessMean, truthMean] = [mean(guess), mean(truth)];
  let [product, square] = [0, 0];
  for (const [i, value] of guess.entries()) {
    product += (value - guessMean) * ((truth[i] ?? 0) - truthMean);
    square += (value - guessMean) ** 2;
  }
  // A negative is no reconstruction.
  const contrast = square === 0 ? 0 : Math.max(0, product / square);
  let error = 0;
  for (const [i, value] of guess.entries()) {
    error += (contrast * (value - guessMean) + truthMean - (truth[i] ?? 0)) ** 2;
  }
  const peak = Math.max(...truth) - Math.min(...truth);
  return 10 * Math.log10(peak ** 2 / (error / truth.length));
}
