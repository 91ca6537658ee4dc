// Shares, intervals, quantiles and bars, as fastpunet.hypotheses defines them.

const NORMAL_975 = 1.959963984540054; // quantile of the standard normal distribution

/** Wilson's 95 % interval of the probability of something that came about `count` times in n draws. */
export function wilson(count: number, n: number): [number, number] {
  if (n === 0) return [0, 1];
  const square = NORMAL_975 ** 2;
  const share = count / n;
  const centre = share + square / (2 * n);
  const half = NORMAL_975 * Math.sqrt((share * (1 - share)) / n + square / (4 * n * n));
  const scale = 1 + square / n;
  return [
    count === 0 ? 0 : Math.max(0, (centre - half) / scale),
    count === n ? 1 : Math.min(1, (centre + half) / scale),
  ];
}

/** The quantile q of sorted values, interpolated between two of them. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

export interface Bars {
  low: number;
  high: number; // > low
  counts: number[];
}

/** Numbers of values in equal parts of the range [low, high]; values outside of it are not counted. */
export function bars(values: Iterable<number>, low: number, high: number, parts: number): Bars {
  const counts = new Array<number>(parts).fill(0);
  for (const value of values) {
    if (value < low || value > high) continue;
    counts[Math.min(Math.floor(((value - low) / (high - low)) * parts), parts - 1)] += 1;
  }
  return { low, high, counts };
}

/** Entropy in bits of something with this probability. */
export function entropy(p: number): number {
  return p <= 0 || p >= 1 ? 0 : -p * Math.log2(p) - (1 - p) * Math.log2(1 - p);
}

export function entropyOf(shares: number[]): number {
  return shares.reduce((sum, p) => sum - (p > 0 ? p * Math.log2(p) : 0), 0);
}
