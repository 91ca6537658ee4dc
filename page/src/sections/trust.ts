import type { Session } from "../state/session";
import { el, section } from "../view/dom";
import { reliabilityPlot } from "./reliability";

/** How well the model's probabilities held, and whether the image is one that it knows. */
export function trustSection({ study }: Session): HTMLElement {
  const { calibration, familiarity, name } = study.facts.model;
  const plots = calibration
    ? (
        [
          ["Presence", calibration.presence],
          ["Pixels", calibration.pixels],
          ["Size", calibration.volume],
        ] as const
      ).flatMap(([title, bins]) => (bins ? [reliabilityPlot(title, bins)] : []))
    : [];
  const sentences = calibration?.sentences ?? [
    `Nobody measured how well the probabilities of ${name} hold, or the result was not kept with the model.`,
  ];
  return section(
    "How far can this be trusted?",
    "trust",
    el("h3", {}, "When this model gives a probability, does it hold?"),
    ...sentences.map((sentence) => el("p", {}, sentence)),
    plots.length > 0 && el("div", { class: "plots" }, ...plots),
    plots.length > 0 &&
      el(
        "p",
        { class: "hint" },
        "Points on the diagonal: what the model calls 70 % happens in 70 % of cases. Below it the model says too much, above it too little. Larger points hold more cases.",
      ),
    el("h3", {}, "Does the model know images like this one?"),
    el("p", {}, familiarity.sentence),
    el("p", { class: "hint" }, familiarity.how),
  );
}
