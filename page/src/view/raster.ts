// The image and heat maps as canvases with one pixel for each of theirs.
import type { Findings } from "../data/findings";
import { entropy } from "../data/statistics";
import type { Study } from "../data/study";
import type { Heat } from "../state/session";
import { heatColour } from "./palette";

const HEAT_OPACITY = 150; // of 255, where the value is largest

export class Raster {
  readonly canvas = document.createElement("canvas");

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    [this.canvas.width, this.canvas.height] = [width, height];
  }

  /** paint: red, green, blue and opacity of each pixel, 0 to 255. */
  fill(paint: (pixel: number) => readonly [number, number, number, number]): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(this.width, this.height);
    for (let p = 0; p < this.width * this.height; p++) image.data.set(paint(p), 4 * p);
    context.putImageData(image, 0, 0);
  }
}

/** Draws the image with its window: values at its ends are black and white. */
export function paintImage(raster: Raster, { pixels, facts }: Study, [low, high]: readonly [number, number]): void {
  const grey = (value: number) => (255 * (value - low)) / (high - low || 1);
  const each = facts.image.channels;
  raster.fill((p) => {
    const start = p * each;
    const red = grey(pixels[start]);
    return each === 1 ? [red, red, red, 255] : [red, grey(pixels[start + 1]), grey(pixels[start + 2]), 255];
  });
}

/** The probability of each pixel, or its entropy in bits; both from 0 to 1. */
export function paintHeat(raster: Raster, { counts, kept }: Findings, heat: Exclude<Heat, "none">): void {
  raster.fill((p) => {
    const mean = counts[p] / kept.length;
    const value = heat === "mean" ? mean : entropy(mean);
    return [...heatColour(value), HEAT_OPACITY * Math.min(1, 4 * value)];
  });
}
