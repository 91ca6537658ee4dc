// How numbers are said.
import type { Study } from "../data/study";

/** A share in whole percent, "under 1 %" and "over 99 %" where whole percent would claim certainty. */
export function percent(share: number): string {
  if (share > 0 && share < 0.005) return "under 1 %";
  if (share < 1 && share >= 0.995) return "over 99 %";
  return `${Math.round(100 * share)} %`;
}

/** Two shares, each as `percent` says it. */
export function interval([low, high]: readonly [number, number]): string {
  return `${percent(low).replace(" %", "")} to ${percent(high)}`;
}

/** A value with three digits, whole numbers without decimals. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const decimals = Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(value))), 0), 6);
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export function withUnit(value: number, unit: string): string {
  return unit ? `${number(value)} ${unit}` : number(value);
}

export function count(n: number, noun: string): string {
  return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
}

/** A number of pixels, with mm² where the image has a spacing. */
export function size({ facts }: Study, pixels: number): string {
  const { spacing } = facts.image;
  if (pixels === 0) return "nothing";
  return spacing
    ? `${count(pixels, "pixel")} (${number(pixels * spacing[0] * spacing[1])} mm²)`
    : count(pixels, "pixel");
}

/** The class in a sentence: "anything" where it has no name of its own. */
export function any(name: string): string {
  return name === "foreground" ? "anything" : `any ${name}`;
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const LETTERS = "ABCDEFGHIJ";
