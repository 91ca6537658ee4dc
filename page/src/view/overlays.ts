// The outlines that lie on the image now.
import type { Layer, Session } from "../state/session";
import { LINES, modeLine, type Line } from "./palette";
import { tooFew } from "./verdict";
import { LETTERS } from "./words";

export interface Overlay {
  mask: Uint8Array;
  line: Line;
  mark: string; // a letter beside the outline, or nothing
  layer: Layer;
}

export function overlays({ now, label }: Session): Overlay[] {
  const shown: Overlay[] = [];
  if (now.layers.has("modes")) {
    for (const mode of now.found.modes) {
      if (mode.count === 0 || now.hiddenModes.has(mode.index)) continue;
      shown.push({ mask: mode.mask, line: modeLine(mode.index), mark: LETTERS[mode.index] ?? "", layer: "modes" });
    }
  }
  if (now.layers.has("extent") && !tooFew(now.found.kept.length)) {
    shown.push({ mask: now.found.outer, line: LINES.outer, mark: "", layer: "extent" });
    shown.push({ mask: now.found.inner, line: LINES.inner, mark: "", layer: "extent" });
  }
  const drawings = [
    ["compared", now.compared?.labels, LINES.compared],
    ["explored", now.explored?.labels, LINES.explored],
    ["edited", now.edited, LINES.edited],
  ] as const;
  for (const [layer, labels, line] of drawings) {
    if (labels && now.layers.has(layer)) shown.push({ mask: binary(labels, label), line, mark: "", layer });
  }
  return shown;
}

const known = new WeakMap<Uint8Array, { label: number; mask: Uint8Array }>();

/** 1 where the label is; remembered, so that its outline is too. */
export function binary(labels: Uint8Array, label: number): Uint8Array {
  let found = known.get(labels);
  if (found?.label !== label) {
    found = { label, mask: labels.map((one) => (one === label ? 1 : 0)) };
    known.set(labels, found);
  }
  return found.mask;
}
