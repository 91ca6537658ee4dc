// Which lines lie on the image, and what they look like.
import type { Layer, Session } from "../state/session";
import { check, el, svg } from "./dom";
import { LINES, type Line } from "./palette";

/** A sample of a line, as in a legend. */
export function swatch({ colour, dash, width }: Line): SVGElement {
  const line = svg("line", {
    x1: 3,
    y1: 8,
    x2: 33,
    y2: 8,
    stroke: colour,
    "stroke-width": width,
    "stroke-dasharray": dash.join(" "),
  });
  return svg("svg", { class: "swatch", viewBox: "0 0 36 16", width: 36, height: 16, "aria-hidden": "true" }, line);
}

const LEGEND: [Layer, string, Line[]][] = [
  ["modes", "Alternatives", []],
  ["extent", "Certain and possible", [LINES.inner, LINES.outer]],
  ["explored", "Explored", [LINES.explored]],
  ["compared", "Compared", [LINES.compared]],
  ["edited", "Edited", [LINES.edited]],
];

/** A checkbox for each kind of lines. */
export function legend(session: Session): HTMLElement {
  const boxes = LEGEND.map(([layer, name, lines]) => {
    const label = check([...lines.map(swatch), name], false, (shown) => {
      session.toggle(layer, shown);
    });
    const box = label.querySelector("input")!;
    session.store.watch(["layers", "explored", "compared", "edited"], () => {
      const { layers, explored, compared, edited } = session.now;
      const there = {
        modes: true,
        extent: true,
        explored: explored !== null,
        compared: compared !== null,
        edited: edited !== null,
      }[layer];
      box.checked = there && layers.has(layer);
      label.hidden = !there;
    });
    return label;
  });
  return el(
    "fieldset",
    { class: "legend" },
    el("legend", { class: "visually-hidden" }, "Lines on the image"),
    ...boxes,
  );
}
