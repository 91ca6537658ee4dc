// Where a drawing falls among the hypotheses that are kept. `fastpunet.hypotheses.assess` defines the same numbers.
import type { Findings } from "./findings";
import { bitCounts, iou, overlap, packed, type Planes } from "./planes";
import { quantile } from "./statistics";
import { annotated } from "./study";

export interface Comparison {
  nearest: number; // the hypothesis with the largest IoU
  nearestIou: number;
  /** Of the kept hypotheses and the drawing together, the share whose mean 1 - IoU from the rest is at least that of the
   *  drawing. */
  typicality: number;
  farther: number; // how many of the kept hypotheses these are
  compared: number; // of the kept hypotheses, for typicality: all, or the first 4096
  marking: number; // kept hypotheses that mark anything
  smaller: number; // of these, those with fewer pixels
  larger: number; // of these, those with more pixels
  /** 95 % of the hypotheses that mark anything have another one with at least this IoU; null if none does. */
  usualIou: number | null;
  area: number; // pixels of the drawing
}

const MOST = 4096; // hypotheses that are compared with each other
const RARE = 0.05;
const SLICE = 12; // ms of computing before the page may do something else

/** Resolves to null once `stopped` says so. */
export async function compare(found: Findings, labels: Uint8Array, stopped: () => boolean): Promise<Comparison | null> {
  const counted = annotated(labels);
  const planes = counted ? found.of.planes.within(counted) : found.of.planes;
  const drawn = packed(labels, found.of.label);
  const area = bitCounts(drawn);
  const distances = Float64Array.from(found.kept, (k) => 1 - iou(overlap(planes.of(k), drawn), planes.areas[k], area));
  const some = Math.min(MOST, distances.length);
  const make = () => distancesWithin(planes, found.kept.subarray(0, some), stopped);
  const among = counted ? await make() : await remembered(found, make);
  if (!among) return null;
  const own = distances.subarray(0, some).reduce((sum, d) => sum + d, 0);
  const farther = among.sums.reduce((count, sum, i) => count + (sum + distances[i] >= own - 1e-9 ? 1 : 0), 0);
  const best = distances.indexOf(Math.min(...distances));
  const areas = Array.from(found.kept, (k) => planes.areas[k]).filter((one) => one > 0);
  const similar = among.nearest.filter((_, i) => planes.areas[found.kept[i]] > 0).sort();
  return {
    nearest: found.kept[best],
    nearestIou: 1 - distances[best],
    typicality: (1 + farther) / (1 + some),
    farther,
    compared: some,
    marking: areas.length,
    smaller: areas.filter((one) => one < area).length,
    larger: areas.filter((one) => one > area).length,
    usualIou: similar.length ? quantile(similar, RARE) : null,
    area,
  };
}

/** Of some hypotheses, each one's sum of 1 - IoU from all of them, and its largest IoU with another one. */
interface Among {
  sums: Float64Array;
  nearest: Float64Array;
}

const known = new WeakMap<Findings, Among>();

async function remembered(found: Findings, make: () => Promise<Among | null>): Promise<Among | null> {
  const among = known.get(found) ?? (await make());
  if (among) known.set(found, among);
  return among;
}

async function distancesWithin(planes: Planes, which: Uint32Array, stopped: () => boolean): Promise<Among | null> {
  const sums = new Float64Array(which.length);
  const nearest = new Float64Array(which.length);
  const [first, last] = occupied(planes);
  const words = Array.from(which, (k) => planes.of(k).subarray(first, last));
  let started = performance.now();
  for (let i = 0; i < which.length; i++) {
    for (let j = 0; j < i; j++) {
      const distance = 1 - iou(overlap(words[i], words[j]), planes.areas[which[i]], planes.areas[which[j]]);
      sums[i] += distance;
      sums[j] += distance;
      nearest[i] = Math.max(nearest[i], 1 - distance);
      nearest[j] = Math.max(nearest[j], 1 - distance);
    }
    if (performance.now() - started > SLICE) {
      await new Promise((resume) => setTimeout(resume));
      if (stopped()) return null;
      started = performance.now();
    }
  }
  return { sums, nearest };
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
