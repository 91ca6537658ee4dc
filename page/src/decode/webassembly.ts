// Decoding with the kernel in kernel/decode.ts, in float32 with SIMD instructions.
import kernel from "decode-kernel"; // the build makes it of kernel/decode.ts
import type { Backend } from "./backend";
import { mapShift } from "./javascript";
import { labeller } from "./labels";
import { inBlocks, offsetOf, outputsOf, type Weights } from "./weights";

interface Kernel {
  memory: WebAssembly.Memory;
  reserve: (bytes: number) => number;
  decode: (
    tiles: number,
    base: number,
    shift: number,
    offset: number,
    plan: number,
    scratch: number,
    room: number,
    target: number,
  ) => void;
}

const TILE = 8;

/** Rejects where the browser has no WebAssembly, or none with SIMD. */
export async function webassemblyBackend(weights: Weights): Promise<Backend> {
  const { instance } = await WebAssembly.instantiate(kernel);
  const { memory, reserve, decode } = instance.exports as unknown as Kernel;
  const { channels } = weights;
  const layers = inBlocks(weights);
  const pixels = weights.height * weights.width;
  const tiles = Math.ceil(pixels / TILE);
  const outputs = outputsOf(weights);
  const room = 4 * TILE * Math.max(channels, ...layers.map((layer) => layer.outputs));

  const sizes = {
    base: tiles * TILE * channels * 4,
    target: tiles * TILE * outputs * 4,
    plan: 4 * (3 + 3 * layers.length),
  };
  const weightBytes = layers.reduce((sum, { weight, bias }) => sum + weight.byteLength + bias.byteLength, 0);
  const hasMap = weights.map !== null;
  let free = reserve(
    sizes.base * (hasMap ? 2 : 1) + sizes.target + 2 * room + channels * 4 + sizes.plan + weightBytes + 256,
  );
  const take = (bytes: number): number => {
    const start = free;
    free += Math.ceil(bytes / 16) * 16;
    return start;
  };
  const base = take(sizes.base);
  const shift = hasMap ? take(sizes.base) : 0;
  const target = take(sizes.target);
  const scratch = take(2 * room);
  const offset = take(channels * 4);
  const plan = take(sizes.plan);
  const floats = (start: number, length: number) => new Float32Array(memory.buffer, start, length);

  const steps = [layers.length, channels, outputs];
  for (const { weight, bias } of layers) {
    const [weightAt, biasAt] = [take(weight.byteLength), take(bias.byteLength)];
    floats(weightAt, weight.length).set(weight);
    floats(biasAt, bias.length).set(bias);
    steps.push(bias.length, weightAt, biasAt);
  }
  new Uint32Array(memory.buffer, plan, steps.length).set(steps);
  toTiles(weights.base, channels, floats(base, tiles * TILE * channels));

  const toLabels = labeller(weights);
  const logits = new Float32Array(outputs * pixels);
  return {
    name: "webassembly",
    labels(z) {
      floats(offset, channels).set(offsetOf(weights, z));
      const added = mapShift(weights, z);
      if (added) toTiles(added, channels, floats(shift, tiles * TILE * channels));
      decode(tiles, base, shift, offset, plan, scratch, room, target);
      fromTiles(floats(target, tiles * TILE * outputs), outputs, logits);
      return toLabels(logits);
    },
  };
}

/** (pixels, channels) to (tiles, channels, 8). */
function toTiles(values: Float32Array, channels: number, target: Float32Array): void {
  const pixels = values.length / channels;
  for (let p = 0, at = 0; p < pixels; p++) {
    const start = (p >> 3) * channels * TILE + (p & 7);
    for (let c = 0; c < channels; c++, at++) target[start + c * TILE] = values[at]!;
  }
}

/** (tiles, outputs, 8) to (outputs, pixels). */
function fromTiles(values: Float32Array, outputs: number, target: Float32Array): void {
  const pixels = target.length / outputs;
  for (let k = 0; k < outputs; k++) {
    for (let p = 0; p < pixels; p++) target[k * pixels + p] = values[((p >> 3) * outputs + k) * TILE + (p & 7)]!;
  }
}
