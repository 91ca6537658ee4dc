import { svg } from "./dom";

/** About `most` round numbers in a range. */
export function ticks(low: number, high: number, most: number): number[] {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  const found: number[] = [];
  for (let i = first; i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

export function text(
  x: number,
  y: number,
  content: string,
  anchor: "start" | "middle" | "end" = "middle",
): SVGTextElement {
  return svg("text", { x, y, "text-anchor": anchor }, content);
}

/** Calls `draw` with the width of an element in pixels, now and whenever it changes. */
export function onWidth(element: Element, draw: (width: number) => void): void {
  let before = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== before) draw((before = width));
  }).observe(element);
}
