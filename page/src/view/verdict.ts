// A comparison in words.
import type { Comparison } from "../data/comparing";
import { FEWEST, judge, ROUGH } from "../data/verdict";
import type { Session } from "../state/session";
import { count, number } from "./words";

/** Every way in which the outline is unusual, or that it is ordinary. */
export function verdict(found: Comparison): { unusual: boolean; sentence: string } {
  const judged = judge(found);
  const { compared, farther } = found;
  if (!judged.judged) return { unusual: false, sentence: `Too few outlines left (${compared}) to judge.` };
  const reasons = [
    judged.size && `Unusual in size: ${sizeRank(found)}.`,
    judged.overlap && `Unusual in place or shape: ${overlapped(found)}.`,
    judged.typicality &&
      `Unusual on the whole: ${farther === 0 ? "none" : `only ${number(farther)}`} of ${count(compared, "outline")} ${farther < 2 ? "differs" : "differ"} from the others as much.`,
  ].filter((one) => one !== false);
  return reasons.length
    ? { unusual: true, sentence: reasons.join(" ") }
    : {
        unusual: false,
        sentence: `Ordinary: ${number(farther)} of ${count(compared, "outline")} differ from the others at least as much.`,
      };
}

/** Where the size falls among the outlines that mark anything. */
export function sizeRank({ area, marking, smaller, larger }: Comparison): string {
  if (marking === 0) return "no outline marks anything";
  const all = `${count(marking, "outline")} that mark anything`;
  if (area === 0) return `it marks nothing, unlike the ${all}`;
  if (smaller === marking) return `larger than all ${all}`;
  if (larger === marking) return `smaller than all ${all}`;
  if (larger === 0) return `as large as the largest of ${all}`;
  if (smaller === 0) return `as small as the smallest of ${all}`;
  const [few, how] = larger < smaller ? [larger, "larger"] : [smaller, "smaller"];
  return `${number(few)} of ${all} ${few === 1 ? "is" : "are"} ${how}`;
}

/** How like the nearest outline it is, beside how like their nearest ones the outlines are. */
export function overlapped({ area, nearestIou, usualIou }: Comparison): string {
  if (nearestIou === 0) return area === 0 ? "every outline marks something" : "none of the outlines overlaps it";
  const best = `the most similar outline overlaps it by ${nearestIou.toFixed(2)} (IoU)`;
  return usualIou === null || area === 0
    ? best
    : `${best}, while 95 % of the outlines have another one that overlaps by at least ${usualIou.toFixed(2)}`;
}

/** That shares of so few outlines are rough; nothing where there are many. */
export function rough(n: number): string {
  return n < ROUGH ? ` Only ${count(n, "outline")} left: shares are rough.` : "";
}

/** Whether these are too few to tell what 5 % or 95 % of them have. */
export function tooFew(n: number): boolean {
  return n < FEWEST;
}

/** What to call the outlines that count. */
export function counting({ now }: Session): string {
  return now.conditions.length ? "the remaining outlines" : "the outlines";
}
