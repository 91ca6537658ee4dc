import { outline } from "../data/outline";
import type { Session } from "../state/session";
import { boxOf } from "./camera";
import { svg } from "./dom";
import type { Line } from "./palette";

/** A small picture of a mask's outline within the outline of all that is possible. */
export function thumbnail({ study, now }: Session, mask: Uint8Array, line: Line): SVGElement {
  const { width, height } = study;
  const all = { left: 0, top: 0, right: width, bottom: height };
  const box = boxOf(now.found.outer, width, height, 0.3) ?? all;
  const wide = box.right - box.left;
  const high = box.bottom - box.top;
  const path = svg("path", {
    d: outlinePath(mask, width),
    fill: line.colour,
    "fill-opacity": 0.2,
    stroke: line.colour,
    "stroke-width": 2,
    "stroke-dasharray": line.dash.join(" "),
    "vector-effect": "non-scaling-stroke",
  });
  const possible = svg("path", {
    class: "possible",
    d: outlinePath(now.found.outer, width),
    "vector-effect": "non-scaling-stroke",
  });
  return svg(
    "svg",
    { class: "thumbnail", viewBox: `${box.left} ${box.top} ${wide} ${high}`, "aria-hidden": "true" },
    possible,
    path,
  );
}

/** The outline of a mask as the data of an SVG path. */
export function outlinePath(mask: Uint8Array, width: number): string {
  return outline(mask, width)
    .map((loop) => {
      const points: string[] = [];
      for (let i = 0; i < loop.length; i += 2) points.push(`${loop[i]} ${loop[i + 1]}`);
      return `M${points.join("L")}Z`;
    })
    .join("");
}
