// Whether an outline is unusual among those that are kept, judged by several criteria.
import type { Comparison } from "./comparing";

/** Fewer outlines than these tell nothing about a share of 5 %. */
export const FEWEST = 20;
/** Shares of fewer outlines than these are rough. */
export const ROUGH = 50;

export const UNUSUAL = 0.05;

export interface Verdict {
  judged: boolean; // false: too few outlines
  size: boolean; // unusual in size: outside of the middle 95 % of the outlines that mark anything
  overlap: boolean; // unusual in place or shape: less like its nearest one than 95 % of the outlines are like theirs
  typicality: boolean; // unusual in its mean distance from all
}

export function judge(found: Comparison): Verdict {
  const { compared, marking, smaller, larger, area, usualIou, nearestIou, typicality } = found;
  const enough = area > 0 && marking >= FEWEST;
  const fewest = Math.min(marking - smaller, marking - larger);
  return {
    judged: compared >= FEWEST,
    size: enough && fewest < (UNUSUAL / 2) * marking,
    overlap: area > 0 ? enough && usualIou !== null && nearestIou < usualIou - 1e-9 : nearestIou === 0,
    typicality: typicality < UNUSUAL,
  };
}
