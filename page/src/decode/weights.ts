// The decoder of a case, unpacked: what all backends read.
import type { Decoder, LatentMap } from "../case";
import { unpackFloats } from "../data/unpack";

export interface Layer {
  inputs: number;
  outputs: number;
  weight: Float32Array; // (outputs, inputs)
  bias: Float32Array;
}

export interface Weights {
  height: number; // of the base
  width: number;
  channels: number; // of the base, the first layer's outputs
  base: Float32Array; // (height, width, channels)
  zWeight: Float32Array; // (channels, latents)
  latents: number; // those of the whole image
  layers: Layer[];
  map: (Omit<LatentMap, "weight"> & { weight: Float32Array }) | null;
  place: { row: number; column: number; height: number; width: number; resample: Resample | null };
}

export interface Resample {
  rows: Float32Array; // (height of the place, height of the base)
  columns: Float32Array; // (width of the place, width of the base)
}

export async function readWeights(decoder: Decoder): Promise<Weights> {
  const [height, width, channels] = decoder.base.shape as [number, number, number];
  const layers = await Promise.all(
    decoder.layers.map(async ({ weight, bias }) => ({
      outputs: weight.shape[0],
      inputs: weight.shape[1],
      weight: await unpackFloats(weight),
      bias: await unpackFloats(bias),
    })),
  );
  const { map, place } = decoder;
  const { resample } = place;
  return {
    height,
    width,
    channels,
    base: await unpackFloats(decoder.base),
    zWeight: await unpackFloats(decoder.zWeight),
    latents: decoder.zWeight.shape[1],
    layers,
    map: map && { ...map, weight: await unpackFloats(map.weight) },
    place: {
      ...place,
      resample: resample && { rows: await unpackFloats(resample.rows), columns: await unpackFloats(resample.columns) },
    },
  };
}

export function outputsOf(weights: Weights): number {
  return weights.layers.at(-1)!.outputs;
}

/** The layers for code that computes four outputs at a time: weights (outputs / 4, inputs, 4), with zeros for outputs
 *  and inputs too many. */
export function inBlocks({ channels, layers }: Weights): Layer[] {
  let inputs = channels;
  return layers.map((layer) => {
    const outputs = Math.ceil(layer.outputs / 4) * 4;
    const found: Layer = {
      inputs,
      outputs,
      weight: new Float32Array(outputs * inputs),
      bias: new Float32Array(outputs),
    };
    found.bias.set(layer.bias);
    for (let o = 0; o < layer.outputs; o++) {
      for (let i = 0; i < layer.inputs; i++) {
        found.weight[((o >> 2) * inputs + i) * 4 + (o & 3)] = layer.weight[o * layer.inputs + i]!;
      }
    }
    inputs = outputs;
    return found;
  });
}

/** zWeight z, (channels,): what the latents of the whole image add to the first layer. */
export function offsetOf({ channels, latents, zWeight }: Weights, z: ArrayLike<number>): Float32Array {
  return Float32Array.from({ length: channels }, (_, channel) => {
    let sum = 0;
    for (let i = 0; i < latents; i++) sum += zWeight[channel * latents + i] * z[i];
    return sum;
  });
}

/** What the latent map adds to the first layer in each of its cells, (rows, columns, channels); null without a map. */
export function cellsOf({ channels, latents, map }: Weights, z: ArrayLike<number>): Float32Array | null {
  if (!map) return null;
  const cells = map.rows * map.columns;
  const found = new Float32Array(cells * channels);
  for (let cell = 0; cell < cells; cell++) {
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0;
      for (let m = 0; m < map.channels; m++)
        sum += map.weight[channel * map.channels + m] * z[latents + m * cells + cell];
      found[cell * channels + channel] = sum;
    }
  }
  return found;
}

/** Along one axis of the map: the two cells beside each of `length` pixels, and how near the second one is. */
export function between(
  origin: number,
  step: number,
  cells: number,
  length: number,
): { low: Int32Array; part: Float32Array } {
  const low = new Int32Array(length);
  const part = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const at = Math.min(Math.max(origin + i * step, 0), cells - 1);
    low[i] = Math.min(Math.floor(at), Math.max(cells - 2, 0));
    part[i] = at - low[i];
  }
  return { low, part };
}
