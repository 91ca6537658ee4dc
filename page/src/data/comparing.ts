// Where a drawing falls among the hypotheses that are kept. `fastpunet.hypotheses.assess` defines the same numbers.
import type { Findings } from "./findings";
import { bitCounts, iou, overlap, packed, type Planes } from "./planes";
import { annotated } from "./study";

export interface Comparison {
  nearest: number; // the hypothesis with the largest IoU
  nearestIou: number;
  /** Of the kept hypotheses and the drawing together, the share whose mean 1 - IoU from the rest is at least that of the
   *  drawing. */
  typicality: number;
  smaller: number; // the share of the kept hypotheses with fewer pixels
  area: number; // pixels of the drawing
}

const MOST = 4096; // hypotheses that are compared with each other
const SLICE = 12; // ms of computing before the page may do something else

/** Resolves to null once `stopped` says so. */
export async function compare(found: Findings, labels: Uint8Array, stopped: () => boolean): Promise<Comparison | null> {
  const counted = annotated(labels);
  const planes = counted ? found.of.planes.within(counted) : found.of.planes;
  const drawn = packed(labels, found.of.label);
  const area = bitCounts(drawn);
  const distances = Float64Array.from(found.kept, (k) => 1 - iou(overlap(planes.of(k), drawn), planes.areas[k], area));
  const some = Math.min(MOST, distances.length);
  const sums = counted
    ? await sumsWithin(planes, found.kept.subarray(0, some), stopped)
    : await remembered(found, () => sumsWithin(planes, found.kept.subarray(0, some), stopped));
  if (!sums) return null;
  const own = distances.subarray(0, some).reduce((sum, d) => sum + d, 0);
  const farther = sums.reduce((count, sum, i) => count + (sum + distances[i] >= own - 1e-9 ? 1 : 0), 0);
  const best = distances.indexOf(Math.min(...distances));
  const smaller = found.kept.reduce((count, k) => count + (planes.areas[k] < area ? 1 : 0), 0);
  return {
    nearest: found.kept[best],
    nearestIou: 1 - distances[best],
    typicality: (1 + farther) / (1 + some),
    smaller: smaller / found.kept.length,
    area,
  };
}

const known = new WeakMap<Findings, Float64Array>();

async function remembered(found: Findings, make: () => Promise<Float64Array | null>): Promise<Float64Array | null> {
  const sums = known.get(found) ?? (await make());
  if (sums) known.set(found, sums);
  return sums;
}

/** Of each of these hypotheses, the sum of 1 - IoU from all of them. */
async function sumsWithin(planes: Planes, which: Uint32Array, stopped: () => boolean): Promise<Float64Array | null> {
  const sums = new Float64Array(which.length);
  const [first, last] = occupied(planes);
  const words = Array.from(which, (k) => planes.of(k).subarray(first, last));
  let started = performance.now();
  for (let i = 0; i < which.length; i++) {
    for (let j = 0; j < i; j++) {
      const distance = 1 - iou(overlap(words[i], words[j]), planes.areas[which[i]], planes.areas[which[j]]);
      sums[i] += distance;
      sums[j] += distance;
    }
    if (performance.now() - started > SLICE) {
      await new Promise((resume) => setTimeout(resume));
      if (stopped()) return null;
      started = performance.now();
    }
  }
  return sums;
}

/** The first and the last of a mask's words, exclusively, that are not 0 in all masks. */
function occupied({ n, words }: Planes): [number, number] {
  const each = words.length / n;
  let [first, last] = [each, 0];
  for (let i = 0; i < words.length; i++) {
    if (words[i] === 0) continue;
    first = Math.min(first, i % each);
    last = Math.max(last, (i % each) + 1);
  }
  return first < last ? [first, last] : [0, 0];
}
