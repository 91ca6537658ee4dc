// What would follow if the class of one pixel were known.
import type { Findings } from "./findings";
import { entropyOf } from "./statistics";

export interface Answer {
  count: number; // kept hypotheses with this answer
  modes: number[]; // the share of each mode among them
}

export interface PixelAnswers {
  inside: Answer;
  outside: Answer;
}

export function answersAt({ of, kept }: Findings, pixel: number): PixelAnswers {
  const split = (inside: boolean): Answer => {
    const some = kept.filter((k) => of.planes.has(k, pixel) === inside);
    const shares = of.modes.map((_, mode) => some.reduce((sum, k) => sum + (of.members[k] === mode ? 1 : 0), 0));
    return { count: some.length, modes: shares.map((count) => (some.length ? count / some.length : 0)) };
  };
  return { inside: split(true), outside: split(false) };
}

/** The pixel whose class would tell most about which mode it is: the largest mutual information (Lindley 1956). Null
 *  where no pixel tells anything. */
export function mostTelling({ of, kept, counts }: Findings): number | null {
  const ofModes = of.modes.map((_, mode) => kept.filter((k) => of.members[k] === mode));
  const perMode = ofModes.map((members) => of.planes.counts(members));
  const before = entropyOf(ofModes.map((members) => members.length / kept.length));
  let [best, found] = [1e-9, null as number | null];
  for (let p = 0; p < counts.length; p++) {
    const inside = counts[p];
    const outside = kept.length - inside;
    if (inside === 0 || outside === 0) continue;
    const left =
      (inside * entropyOf(perMode.map((mode) => mode[p] / inside)) +
        outside * entropyOf(perMode.map((mode, m) => (ofModes[m].length - mode[p]) / outside))) /
      kept.length;
    if (before - left > best) [best, found] = [before - left, p];
  }
  return found;
}
