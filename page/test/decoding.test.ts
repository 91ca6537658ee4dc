import { describe, expect, it } from "vitest";
import { javascriptBackend } from "../src/decode/javascript";
import { LiveDecoder } from "../src/decode/decoder";
import { webassemblyBackend } from "../src/decode/webassembly";
import type { Weights } from "../src/decode/weights";
import { labelOf, logitsAt, randomLatent, randomNumbers, randomWeights } from "./problems";

const PROBLEMS = {
  "one logit": randomWeights(1, { height: 9, width: 11, channels: 8, widths: [8, 8, 1], latents: 6 }),
  "widths that are no multiple of four": randomWeights(22, {
    height: 7,
    width: 5,
    channels: 5,
    widths: [6, 7, 3],
    latents: 2,
  }),
  "sixteen classes": randomWeights(3, { height: 8, width: 8, channels: 16, widths: [16, 16], latents: 4 }),
  "a latent map": randomWeights(4, {
    height: 10,
    width: 9,
    channels: 8,
    widths: [8, 1],
    latents: 3,
    map: { channels: 2, rows: 3, columns: 4 },
  }),
  "a map of one cell": randomWeights(4, {
    height: 6,
    width: 6,
    channels: 8,
    widths: [8, 3],
    latents: 1,
    map: { channels: 3, rows: 1, columns: 1 },
  }),
};

function expected(weights: Weights, z: Float32Array): number[] {
  const pixels = Array.from({ length: weights.height * weights.width }, (_, p) => p);
  return pixels.map((p) => labelOf(logitsAt(weights, z, Math.floor(p / weights.width), p % weights.width)));
}

describe.each(Object.entries(PROBLEMS))("decoding %s", (_, weights) => {
  it("gives the labels that the loops give, with each backend", async () => {
    const backends = [javascriptBackend(weights), await webassemblyBackend(weights)];
    const seen = new Set<number>();
    for (let seed = 0; seed < 5; seed++) {
      const z = randomLatent(seed, weights);
      const labels = expected(weights, z);
      labels.forEach((label) => seen.add(label));
      for (const backend of backends) expect([...backend.labels(z)], backend.name).toEqual(labels);
    }
    expect(seen.size).toBeGreaterThan(1);
  });
});

it("interpolates logits on another grid before they become labels", async () => {
  const weights = randomWeights(6, { height: 4, width: 5, channels: 4, widths: [4, 2], latents: 2 });
  const next = randomNumbers(7);
  const [height, width] = [6, 3];
  const rows = Float32Array.from({ length: height * 4 }, (_, i) => (i % 3 === 0 ? 0 : next()));
  const columns = Float32Array.from({ length: width * 5 }, next);
  weights.place = { row: 1, column: 2, height, width, resample: { rows, columns } };
  const z = randomLatent(8, weights);
  const image = Array.from({ length: 8 * 9 }, (_, p) => {
    const [row, column] = [Math.floor(p / 9) - 1, (p % 9) - 2];
    if (row < 0 || column < 0 || row >= height || column >= width) return 0;
    const logits = [0, 0];
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 5; j++) {
        logitsAt(weights, z, i, j).forEach((logit, k) => {
          logits[k] += rows[row * 4 + i] * columns[column * 5 + j] * logit;
        });
      }
    }
    return labelOf(logits);
  });
  const decoder = await LiveDecoder.create(weights, [8, 9]);
  expect(decoder.names).toEqual(["webassembly", "javascript"]);
  for (const name of decoder.names) expect([...decoder.decode(z, name)], name).toEqual(image);
});

it("names the backends that there are when asked for another one", async () => {
  const decoder = await LiveDecoder.create(PROBLEMS["one logit"], [9, 11]);
  expect(() => decoder.decode(randomLatent(0, PROBLEMS["one logit"]), "webgpu")).toThrow(
    "backend: got webgpu, expected one of webassembly, javascript",
  );
});
