// Decoding in plain JavaScript, for browsers that have nothing else. Sums are in float64.
import type { Backend } from "./backend";
import { labeller } from "./labels";
import { between, cellsOf, inBlocks, offsetOf, outputsOf, type Weights } from "./weights";

export function javascriptBackend(weights: Weights): Backend {
  const { height, width, channels } = weights;
  const pixels = height * width;
  const outputs = outputsOf(weights);
  const layers = inBlocks(weights).map((layer) => ({
    ...layer,
    weight: Float64Array.from(layer.weight),
    bias: Float64Array.from(layer.bias),
  }));
  const widest = Math.max(channels, ...layers.map((layer) => layer.outputs));
  const toLabels = labeller(weights);
  const logits = new Float32Array(outputs * pixels);
  return {
    name: "javascript",
    labels(z) {
      const offset = Float64Array.from(offsetOf(weights, z));
      const shift = mapShift(weights, z);
      let x = new Float64Array(2 * widest);
      let y = new Float64Array(2 * widest);
      for (let p = 0; p < pixels; p += 2) {
        for (let half = 0; half < 2; half++) {
          const start = Math.min(p + half, pixels - 1) * channels;
          for (let c = 0; c < channels; c++) {
            const value = weights.base[start + c] + offset[c] + (shift ? shift[start + c] : 0);
            x[2 * c + half] = value > 0 ? value : 0;
          }
        }
        for (const [l, { weight, bias, inputs }] of layers.entries()) {
          layer(weight, bias, inputs, l + 1 < layers.length ? 0 : -Infinity, x, y);
          [x, y] = [y, x];
        }
        for (let k = 0; k < outputs; k++) {
          logits[k * pixels + p] = x[2 * k]!;
          if (p + 1 < pixels) logits[k * pixels + p + 1] = x[2 * k + 1]!;
        }
      }
      return toLabels(logits);
    },
  };
}

/** y = weight x + bias for two pixels, (channels, 2), and no less than `least`. Four outputs at a time, so that sums need
 *  not wait for each other. */
function layer(
  weight: Float64Array,
  bias: Float64Array,
  inputs: number,
  least: number,
  x: Float64Array,
  y: Float64Array,
): void {
  for (let o = 0, k = 0; o < bias.length; o += 4) {
    let a0 = bias[o],
      b0 = bias[o + 1],
      c0 = bias[o + 2],
      d0 = bias[o + 3];
    let a1 = a0,
      b1 = b0,
      c1 = c0,
      d1 = d0;
    for (let i = 0, j = 0; i < inputs; i++, j += 2, k += 4) {
      const p = x[j],
        q = x[j + 1];
      const a = weight[k],
        b = weight[k + 1],
        c = weight[k + 2],
        d = weight[k + 3];
      a0 += p * a;
      a1 += q * a;
      b0 += p * b;
      b1 += q * b;
      c0 += p * c;
      c1 += q * c;
      d0 += p * d;
      d1 += q * d;
    }
    const t = 2 * o;
    y[t] = a0 > least ? a0 : least;
    y[t + 1] = a1 > least ? a1 : least;
    y[t + 2] = b0 > least ? b0 : least;
    y[t + 3] = b1 > least ? b1 : least;
    y[t + 4] = c0 > least ? c0 : least;
    y[t + 5] = c1 > least ? c1 : least;
    y[t + 6] = d0 > least ? d0 : least;
    y[t + 7] = d1 > least ? d1 : least;
  }
}

/** What the latent map adds to the first layer at every pixel, (height, width, channels); null without a map. */
export function mapShift(weights: Weights, z: ArrayLike<number>): Float32Array | null {
  const { map, height, width, channels } = weights;
  const cells = cellsOf(weights, z);
  if (!map || !cells) return null;
  const down = between(map.origin[0], map.step[0], map.rows, height);
  const across = between(map.origin[1], map.step[1], map.columns, width);
  const shift = new Float32Array(height * width * channels);
  const line = new Float32Array(map.columns * channels);
  for (let row = 0, at = 0; row < height; row++) {
    const above = down.low[row] * line.length;
    const below = Math.min(down.low[row] + 1, map.rows - 1) * line.length;
    for (let i = 0; i < line.length; i++) {
      line[i] = cells[above + i] + down.part[row] * (cells[below + i] - cells[above + i]);
    }
    for (let column = 0; column < width; column++) {
      const left = across.low[column] * channels;
      const right = Math.min(across.low[column] + 1, map.columns - 1) * channels;
      const part = across.part[column];
      for (let c = 0; c < channels; c++, at++) shift[at] = line[left + c] + part * (line[right + c] - line[left + c]);
    }
  }
  return shift;
}
