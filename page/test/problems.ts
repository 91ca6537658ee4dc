// Random decoders, and the meaning of a decoder in plain loops.
import type { Weights } from "../src/decode/weights";

/** Numbers from -1 to 1 that are the same in each run (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export interface Sizes {
  height: number;
  width: number;
  channels: number;
  widths: number[]; // outputs of each layer, the last one those of the logits
  latents: number;
  map?: { channels: number; rows: number; columns: number };
}

export function randomWeights(seed: number, { height, width, channels, widths, latents, map }: Sizes): Weights {
  const next = randomNumbers(seed);
  const floats = (length: number) => Float32Array.from({ length }, next);
  const inputs = [channels, ...widths];
  return {
    height,
    width,
    channels,
    latents,
    base: floats(height * width * channels),
    zWeight: floats(channels * latents),
    layers: widths.map((outputs, l) => ({
      outputs,
      inputs: inputs[l],
      weight: floats(outputs * inputs[l]),
      bias: floats(outputs),
    })),
    map: map
      ? {
          ...map,
          weight: floats(channels * map.channels),
          origin: [0.2 * (map.rows - 1), 0],
          step: [(0.7 * (map.rows - 1)) / height, (map.columns - 1) / (width - 1)],
        }
      : null,
    place: { row: 0, column: 0, height, width, resample: null },
  };
}

export function randomLatent(seed: number, { latents, map }: Weights): Float32Array {
  const cells = map ? map.channels * map.rows * map.columns : 0;
  return Float32Array.from({ length: latents + cells }, randomNumbers(seed));
}

/** Logits of one pixel of the base, as the contract defines them. */
export function logitsAt(weights: Weights, z: Float32Array, row: number, column: number): number[] {
  const { channels, latents, map } = weights;
  let x = Array.from({ length: channels }, (_, c) => {
    let sum = weights.base[(row * weights.width + column) * channels + c];
    for (let i = 0; i < latents; i++) sum += weights.zWeight[c * latents + i] * z[i];
    if (map) {
      for (let m = 0; m < map.channels; m++)
        sum += map.weight[c * map.channels + m] * mapAt(weights, z, m, row, column);
    }
    return Math.max(sum, 0);
  });
  weights.layers.forEach(({ inputs, outputs, weight, bias }, l) => {
    x = Array.from({ length: outputs }, (_, o) => {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * x[i];
      return l + 1 < weights.layers.length ? Math.max(sum, 0) : sum;
    });
  });
  return x;
}

function mapAt({ map, latents }: Weights, z: Float32Array, channel: number, row: number, column: number): number {
  if (!map) return 0;
  const y = map.origin[0] + row * map.step[0];
  const x = map.origin[1] + column * map.step[1];
  let sum = 0;
  for (let i = 0; i < map.rows; i++) {
    for (let j = 0; j < map.columns; j++) {
      const share = Math.max(0, 1 - Math.abs(y - i)) * Math.max(0, 1 - Math.abs(x - j));
      sum += share * z[latents + (channel * map.rows + i) * map.columns + j];
    }
  }
  return sum;
}

export function labelOf(logits: number[]): number {
  if (logits.length === 1) return logits[0] > 0 ? 1 : 0;
  return logits.indexOf(Math.max(...logits));
}
