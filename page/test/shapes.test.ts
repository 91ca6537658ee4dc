import { describe, expect, it } from "vitest";
import { brush, filled } from "../src/data/filling";
import { outline, type Loop } from "../src/data/outline";
import { randomNumbers } from "./problems";

function area(loop: Loop): number {
  let sum = 0;
  for (let i = 0; i < loop.length; i += 2) {
    const j = (i + 2) % loop.length;
    sum += loop[i] * loop[j + 1] - loop[j] * loop[i + 1];
  }
  return sum / 2;
}

describe("outlines", () => {
  it("go around a pixel through the middles of its edges", () => {
    const [loop] = outline(Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0), 3);
    expect([...loop]).toEqual([1.5, 1, 2, 1.5, 1.5, 2, 1, 1.5]);
  });

  it("go around holes the other way, and keep pixels apart that touch at a corner", () => {
    const ring = outline(Uint8Array.of(1, 1, 1, 1, 0, 1, 1, 1, 1), 3);
    expect(ring.map(area).sort((a, b) => a - b)).toEqual([-0.5, 8.5]);
    expect(outline(Uint8Array.of(1, 0, 0, 1), 2)).toHaveLength(2);
  });

  it("hold the pixels of any mask, as the filling of their loops shows", () => {
    const next = randomNumbers(2);
    for (let repeat = 0; repeat < 20; repeat++) {
      const mask = Uint8Array.from({ length: 9 * 12 }, () => (next() > 0 ? 1 : 0));
      const again = new Uint8Array(mask.length);
      for (const loop of outline(mask, 12))
        filled([...loop], 9, 12).forEach((inside, p) => {
          again[p] ^= inside;
        });
      expect(again).toEqual(mask);
    }
  });

  it("of nothing are none", () => {
    expect(outline(new Uint8Array(6), 3)).toEqual([]);
  });
});

describe("filling", () => {
  it("takes the pixels whose centres lie within the line", () => {
    expect([...filled([0.6, 0, 3, 0, 3, 2, 0.6, 2], 2, 4)]).toEqual([0, 1, 1, 0, 0, 1, 1, 0]);
  });

  it("may leave the image", () => {
    expect([...filled([-5, -5, 9, -5, 9, 9, -5, 9], 2, 2)]).toEqual([1, 1, 1, 1]);
  });
});

describe("the brush", () => {
  it("of one pixel changes the pixel under it", () => {
    const labels = new Uint8Array(12);
    brush(labels, 4, [2.5, 1.5], [2.5, 1.5], 1, () => 3);
    expect([...labels]).toEqual([0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]);
  });

  it("changes all pixels along its way, and none outside the image", () => {
    const labels = new Uint8Array(12);
    brush(labels, 4, [-3, 1.5], [9, 1.5], 1, () => 1);
    expect([...labels]).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
  });
});
