// Lines on the image. Their colours (Okabe and Ito 2008) are told apart by people with any colour vision, and their dashes
// without colour. All have a dark rim, so that they show on dark and on bright tissue.

export interface Line {
  colour: string;
  dash: number[]; // in screen pixels; empty for a solid line
  width: number;
}

const MODES: Line[] = [
  { colour: "#e69f00", dash: [], width: 2 },
  { colour: "#56b4e9", dash: [9, 4], width: 2 },
  { colour: "#1fc796", dash: [2, 4], width: 2.5 },
  { colour: "#f0e442", dash: [12, 4, 2, 4], width: 2 },
  { colour: "#e78ac3", dash: [5, 3], width: 2 },
];

export function modeLine(index: number): Line {
  return MODES[index % MODES.length];
}

export const LINES = {
  inner: { colour: "#ffffff", dash: [], width: 2.5 },
  outer: { colour: "#ffffff", dash: [6, 4], width: 1.5 },
  explored: { colour: "#ff7f50", dash: [], width: 2.5 },
  compared: { colour: "#b3e5fc", dash: [3, 3], width: 2 },
  edited: { colour: "#7cfc00", dash: [], width: 2 },
} satisfies Record<string, Line>;

/** Colours of a heat map from 0 to 1: viridis, which grows brighter evenly. */
const VIRIDIS = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 74, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [109, 205, 89],
  [180, 222, 44],
  [253, 231, 37],
] as const;

export function heatColour(value: number): [number, number, number] {
  const at = Math.min(Math.max(value, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mix = (i: 0 | 1 | 2) => VIRIDIS[low][i] + (at - low) * (VIRIDIS[low + 1][i] - VIRIDIS[low][i]);
  return [mix(0), mix(1), mix(2)];
}
