import { describe, expect, it } from "vitest";
import { bitCount, iou, overlap, packed, Planes } from "../src/data/planes";
import { bars, entropy, quantile, wilson } from "../src/data/statistics";
import { halfToFloat, unpack, unpackBytes, unpackFloats } from "../src/data/unpack";
import { pack, packBits } from "./cases";
import { randomNumbers } from "./problems";

describe("unpacking", () => {
  it("gives the numbers that were packed", async () => {
    const values = [-3, 0, 5, 300];
    expect([...(await unpack(pack("int16", [2, 2], values)))]).toEqual(values);
    expect([...(await unpackFloats(pack("int32", [4], values)))]).toEqual(values);
  });

  it("reads rows of bits that do not fill their bytes", async () => {
    const bits = Array.from({ length: 3 * 11 }, (_, i) => (i % 3 === 0 ? 1 : 0));
    expect([...(await unpackBytes(packBits([3, 11], bits)))]).toEqual(bits);
  });

  it("refuses data of another length than their shape says", async () => {
    await expect(unpack(pack("uint8", [5], [1, 2, 3]))).rejects.toThrow("got 3 values, expected 5");
    await expect(unpack({ ...packBits([2, 9], new Array<number>(18).fill(1)), shape: [3, 9] })).rejects.toThrow(
      "got 4 bytes, expected 6",
    );
  });

  it("reads half precision", () => {
    const bits = [0x3c00, 0xc000, 0x3555, 0x0001, 0x8000, 0x7c00, 0x7bff];
    expect(bits.map(halfToFloat)).toEqual([1, -2, 0.333251953125, 2 ** -24, -0, Infinity, 65504]);
    expect(halfToFloat(0x7e00)).toBeNaN();
  });
});

describe("planes", () => {
  const next = randomNumbers(1);
  const [n, height, width] = [5, 7, 13];
  const bits = Array.from({ length: n * height * width }, () => (next() > 0.3 ? 1 : 0));

  it("hold the same masks, whether made of bits or of labels", async () => {
    const { data } = packBits([n, height, width], bits);
    const bytes = await unpackBytes({ dtype: "uint8", shape: [n * height * 2], data });
    const ofBits = Planes.ofBits(bytes, n, height, width);
    const ofLabels = Planes.ofLabel(Uint8Array.from(bits), n, 1);
    expect(ofBits.words).toEqual(ofLabels.words);
    for (let k = 0; k < n; k++)
      expect([...ofBits.mask(k)]).toEqual(bits.slice(k * height * width, (k + 1) * height * width));
  });

  it("count pixels, and in how many masks each pixel is", () => {
    const planes = Planes.ofLabel(Uint8Array.from(bits), n, 1);
    const at = (k: number, p: number) => bits[k * height * width + p];
    const pixels = Array.from({ length: height * width }, (_, p) => p);
    expect([...planes.counts([0, 3])]).toEqual(pixels.map((p) => at(0, p) + at(3, p)));
    expect(planes.areas[2]).toBe(pixels.reduce((sum, p) => sum + at(2, p), 0));
    expect(overlap(planes.of(1), planes.of(2))).toBe(pixels.reduce((sum, p) => sum + at(1, p) * at(2, p), 0));
    expect(pixels.every((p) => planes.has(4, p) === (at(4, p) === 1))).toBe(true);
  });

  it("count bits of words with their highest bit", () => {
    expect([0, 1, -1, 0x80000000, 0xf0f0f0f0].map(bitCount)).toEqual([0, 1, 32, 1, 16]);
    expect(
      packed(
        Uint8Array.from({ length: 33 }, () => 2),
        2,
      ),
    ).toEqual(Uint32Array.of(0xffffffff, 1));
  });

  it("give two empty masks an IoU of 1", () => {
    expect([iou(0, 0, 0), iou(0, 3, 0), iou(2, 4, 4)]).toEqual([1, 0, 1 / 3]);
  });
});

describe("statistics", () => {
  it("give Wilson's interval as fastpunet.hypotheses does", () => {
    expect(wilson(37, 100)[0]).toBeCloseTo(0.2818, 4);
    expect(wilson(37, 100)[1]).toBeCloseTo(0.4678, 4);
    expect(wilson(0, 100)[0]).toBe(0);
    expect(wilson(0, 100)[1]).toBeCloseTo(0.037, 4);
    expect(wilson(100, 100)[1]).toBe(1);
  });

  it("interpolate quantiles", () => {
    expect(quantile([1, 2, 4], 0.5)).toBe(2);
    expect(quantile([1, 2, 4], 0.75)).toBe(3);
    expect(quantile([7], 0.05)).toBe(7);
  });

  it("count the largest value in the last bar", () => {
    expect(bars([0, 1, 4.9, 5, 10, 11], 0, 10, 2).counts).toEqual([3, 2]);
  });

  it("give one bit to an even chance", () => {
    expect([entropy(0), entropy(0.5), entropy(1)]).toEqual([0, 1, 0]);
  });
});
