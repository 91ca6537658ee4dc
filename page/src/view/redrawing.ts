import type { Hypotheses } from "../case";
import type { Offer } from "../state/service";
import { button, el } from "./dom";

/** Another number of hypotheses and another seed, once there is a service that draws them. */
export function redrawing(
  drawn: Hypotheses,
  offer: Promise<Offer>,
  ask: (n: number, seed: number) => void,
): HTMLElement {
  const n = el("input", { class: "number", type: "number", min: 1, value: drawn.n });
  const seed = el("input", {
    class: "number",
    type: "number",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    value: drawn.seed,
  });
  const press = () => {
    if ([n, seed].every((one) => one.value !== "" && one.reportValidity())) ask(Number(n.value), Number(seed.value));
  };
  const tools = el(
    "div",
    { class: "header-tools", hidden: true },
    el("label", { class: "inline" }, "Outlines ", n),
    el("label", { class: "inline" }, "Seed ", seed),
    button("Draw again", press),
  );
  void offer.then(({ mostHypotheses }) => {
    n.max = String(mostHypotheses);
    tools.hidden = false;
  });
  return tools;
}
