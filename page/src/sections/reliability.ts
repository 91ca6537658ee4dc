import type { Bins } from "../case";
import { text } from "../view/chart";
import { el, svg } from "../view/dom";
import { percent } from "../view/words";

const SIDE = 200;
const EDGE = 34;
const RIM = 14; // room for half of the last number

/** Predicted shares against what was observed: on the diagonal both agree. */
export function reliabilityPlot(name: string, { count, predicted, observed }: Bins): HTMLElement {
  const place = (share: number) => EDGE + share * (SIDE - EDGE - RIM);
  const most = Math.max(1, ...count);
  const filled = count.map((_, i) => i).filter((i) => count[i] > 0);
  const at = (i: number) => ({ x: place(predicted[i]), y: SIDE - place(observed[i]) });
  const line = filled.map((i) => `${at(i).x},${at(i).y}`).join(" ");
  const summary = filled.map((i) => `said ${percent(predicted[i])}, was ${percent(observed[i])}`).join("; ");
  const picture = svg(
    "svg",
    { class: "reliability", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": `${name}: ${summary}` },
    svg("path", { class: "axis", d: `M${EDGE} ${RIM}V${SIDE - EDGE}H${SIDE - RIM}` }),
    svg("line", { class: "diagonal", x1: place(0), y1: SIDE - place(0), x2: place(1), y2: SIDE - place(1) }),
    svg("polyline", { class: "curve", points: line }),
    ...filled.map((i) =>
      svg("circle", { class: "bin", cx: at(i).x, cy: at(i).y, r: 2.5 + 4 * Math.sqrt(count[i] / most) }),
    ),
    ...[0, 0.5, 1].flatMap((share) => [
      text(place(share), SIDE - EDGE + 14, `${100 * share}`),
      text(EDGE - 4, SIDE - place(share) + 4, `${100 * share}`, "end"),
    ]),
    text(SIDE / 2 + EDGE / 2, SIDE - 4, "model said (%)"),
    svg(
      "text",
      { transform: `translate(10 ${SIDE / 2 - EDGE / 2}) rotate(-90)`, "text-anchor": "middle" },
      "was so (%)",
    ),
  );
  return el("figure", {}, picture, el("figcaption", {}, name));
}
