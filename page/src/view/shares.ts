// Shares of a whole in whole percent that sum to 100.
import { percent } from "./words";

/** Largest remainders: every share is rounded down, and what is missing goes to those that lost most. */
export function percents(counts: readonly number[]): string[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return counts.map(() => "–");
  const exact = counts.map((count) => (100 * count) / total);
  const whole = exact.map((share) => Math.floor(share + 1e-9));
  const missing = 100 - whole.reduce((sum, share) => sum + share, 0);
  const lost = exact.map((share, i) => [share - whole[i], i] as const).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  for (const [, i] of lost.slice(0, missing)) whole[i] += 1;
  return whole.map((share, i) => {
    const some = counts[i] > 0 && counts[i] < total;
    return some && (share === 0 || share === 100) ? percent(share === 0 ? 1e-9 : 1 - 1e-9) : `${share} %`;
  });
}
