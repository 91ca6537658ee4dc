// Many binary masks of one image, packed into words of 32 pixels, the first pixel in the lowest bit.

/** The number of bits that are 1. */
export function bitCount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

export function bitCounts(words: Uint32Array): number {
  let sum = 0;
  for (const word of words) sum += bitCount(word);
  return sum;
}

export function overlap(a: Uint32Array, b: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += bitCount(a[i] & b[i]);
  return sum;
}

/** Intersection over union of masks with these numbers of pixels; 1 for two empty masks. */
export function iou(intersection: number, a: number, b: number): number {
  const union = a + b - intersection;
  return union === 0 ? 1 : intersection / union;
}

/** One mask, of the pixels that have the label. */
export function packed(labels: Uint8Array, label: number): Uint32Array {
  const words = new Uint32Array(Math.ceil(labels.length / 32));
  for (let p = 0; p < labels.length; p++) if (labels[p] === label) words[p >> 5] |= 1 << (p & 31);
  return words;
}

export class Planes {
  /** The number of pixels of each mask. */
  readonly areas: Uint32Array;

  /** words: (n, ceil(pixels / 32)) */
  constructor(
    readonly n: number,
    readonly pixels: number,
    readonly words: Uint32Array,
  ) {
    this.areas = Uint32Array.from({ length: n }, (_, k) => bitCounts(this.of(k)));
  }

  /** bytes: (n, height, ceil(width / 8)), eight pixels each, the first in the lowest bit. */
  static ofBits(bytes: Uint8Array, n: number, height: number, width: number): Planes {
    const each = Math.ceil((height * width) / 32);
    const words = new Uint32Array(n * each);
    const rowBytes = Math.ceil(width / 8);
    for (let line = 0, at = 0; line < n * height; line++) {
      const start = Math.floor(line / height) * each;
      for (let i = 0, pixel = (line % height) * width; i < rowBytes; i++, at++, pixel += 8) {
        const shift = pixel & 31;
        words[start + (pixel >> 5)] |= bytes[at] << shift;
        if (shift > 24 && bytes[at] >> (32 - shift)) words[start + (pixel >> 5) + 1] |= bytes[at] >> (32 - shift);
      }
    }
    return new Planes(n, height * width, words);
  }

  /** labels: (n, pixels) */
  static ofLabel(labels: Uint8Array, n: number, label: number): Planes {
    const pixels = labels.length / n;
    const each = Math.ceil(pixels / 32);
    const words = new Uint32Array(n * each);
    for (let k = 0; k < n; k++) words.set(packed(labels.subarray(k * pixels, (k + 1) * pixels), label), k * each);
    return new Planes(n, pixels, words);
  }

  of(k: number): Uint32Array {
    const each = Math.ceil(this.pixels / 32);
    return this.words.subarray(k * each, (k + 1) * each);
  }

  has(k: number, pixel: number): boolean {
    return ((this.of(k)[pixel >> 5] >>> (pixel & 31)) & 1) === 1;
  }

  /** Mask k, a byte of 0 or 1 for each pixel. */
  mask(k: number): Uint8Array {
    const words = this.of(k);
    return Uint8Array.from({ length: this.pixels }, (_, p) => (words[p >> 5] >>> (p & 31)) & 1);
  }

  /** In how many of these masks each pixel is. */
  counts(which: Iterable<number>): Uint32Array {
    const found = new Uint32Array(this.pixels);
    for (const k of which) {
      const words = this.of(k);
      for (let i = 0; i < words.length; i++) {
        for (let word = words[i]; word !== 0; word &= word - 1) found[32 * i + 31 - Math.clz32(word & -word)] += 1;
      }
    }
    return found;
  }

  /** The same masks where only some pixels count. */
  within(counted: Uint32Array): Planes {
    const each = counted.length;
    return new Planes(
      this.n,
      this.pixels,
      this.words.map((word, i) => word & counted[i % each]),
    );
  }
}
