// What the hypotheses that are kept say, for one class.
import { iou, overlap } from "./planes";
import { wilson } from "./statistics";
import type { ClassFacts } from "./study";

/** A pixel that is said to be of a class, or not to be. */
export interface Condition {
  row: number;
  column: number;
  label: number;
  inside: boolean;
}

export interface FoundMode {
  index: number; // among the modes of the case, from 0
  name: string;
  count: number; // of the kept hypotheses
  share: number;
  interval: [number, number];
  hypothesis: number | null; // its representative, one of the kept ones; null if none is left
  mask: Uint8Array; // of the representative, or empty
}

export interface Findings {
  of: ClassFacts;
  kept: Uint32Array;
  counts: Uint32Array; // in how many kept hypotheses each pixel is
  present: number; // kept hypotheses that are not empty
  modes: FoundMode[]; // in the order of the case
  inner: Uint8Array; // in at least 95 % of the kept
  outer: Uint8Array; // in at least 5 %
}

export const CERTAIN = 0.95;
export const POSSIBLE = 0.05;

/** The hypotheses that agree with all conditions. */
export function matching(classes: ClassFacts[], n: number, width: number, conditions: Condition[]): Uint32Array {
  const every = Array.from({ length: n }, (_, k) => k);
  return Uint32Array.from(
    every.filter((k) =>
      conditions.every(({ row, column, label, inside }) => {
        const found = classes.find((one) => one.label === label);
        return found !== undefined && found.planes.has(k, row * width + column) === inside;
      }),
    ),
  );
}

export function findings(of: ClassFacts, kept: Uint32Array): Findings {
  const counts = of.planes.counts(kept);
  return {
    of,
    kept,
    counts,
    present: kept.reduce((sum, k) => sum + (of.planes.areas[k] > 0 ? 1 : 0), 0),
    modes: of.modes.map((_, index) => foundMode(of, kept, index)),
    inner: atLeast(counts, CERTAIN * kept.length),
    outer: atLeast(counts, POSSIBLE * kept.length),
  };
}

function atLeast(counts: Uint32Array, least: number): Uint8Array {
  return Uint8Array.from(counts, (count) => (count > 0 && count >= least - 1e-9 ? 1 : 0));
}

function foundMode(of: ClassFacts, kept: Uint32Array, index: number): FoundMode {
  const mode = of.modes[index];
  const members = kept.filter((k) => of.members[k] === index);
  const hypothesis = members.includes(mode.hypothesis) ? mode.hypothesis : nearestTo(of, mode.hypothesis, members);
  const area = hypothesis === null ? 0 : of.planes.areas[hypothesis];
  return {
    index,
    name: hypothesis === null || hypothesis === mode.hypothesis ? mode.name : nameOf(area),
    count: members.length,
    share: members.length / kept.length,
    interval: wilson(members.length, kept.length),
    hypothesis,
    mask: hypothesis === null ? new Uint8Array(of.planes.pixels) : of.planes.mask(hypothesis),
  };
}

function nearestTo({ planes }: ClassFacts, hypothesis: number, members: Uint32Array): number | null {
  let [best, found] = [-1, null as number | null];
  for (const k of members) {
    const similar = iou(overlap(planes.of(k), planes.of(hypothesis)), planes.areas[k], planes.areas[hypothesis]);
    if (similar > best) [best, found] = [similar, k];
  }
  return found;
}

/** What an outline with this many pixels is called, as by `fastpunet.hypotheses.modes`. */
export function nameOf(area: number): string {
  return area === 0 ? "nothing" : `${area.toLocaleString("en-US")} pixel${area === 1 ? "" : "s"}`;
}
