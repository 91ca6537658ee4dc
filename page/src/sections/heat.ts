import type { Heat, Session } from "../state/session";
import { el, newId, section } from "../view/dom";
import { heatColour } from "../view/palette";

const CHOICES: Record<Heat, [string, string]> = {
  none: ["Off", ""],
  mean: ["Probability", "0 to 100 % of the outlines hold the pixel"],
  entropy: ["Uncertainty", "0 to 1 bit (entropy): 1 bit where half of the outlines hold the pixel"],
};

/** Heat maps, which are off until somebody wants them. */
export function heatSection(session: Session): HTMLElement {
  const name = newId("heat");
  const choices = (Object.keys(CHOICES) as Heat[]).map((heat) => {
    const radio = el("input", {
      type: "radio",
      name,
      class: "visually-hidden",
      change: () => {
        session.store.set({ heat });
      },
    });
    radio.checked = heat === session.now.heat;
    return el("label", { class: "segment" }, radio, el("span", {}, CHOICES[heat][0]));
  });
  const stops = Array.from(
    { length: 11 },
    (_, i) =>
      `rgb(${heatColour(i / 10)
        .map(Math.round)
        .join(" ")})`,
  );
  const bar = el("span", { class: "heat-bar", "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const meaning = el("span");
  const key = el("p", { class: "hint heat-key" }, bar, meaning);
  session.store.watch(["heat"], () => {
    key.hidden = session.now.heat === "none";
    meaning.textContent = CHOICES[session.now.heat][1];
  });
  return section(
    "Heat maps",
    "heat",
    el(
      "p",
      {},
      "The same uncertainty pixel by pixel. Outlines are easier to judge; a heat map hides which pixels go together.",
    ),
    el(
      "fieldset",
      { class: "segments" },
      el("legend", { class: "visually-hidden" }, "Heat map on the image"),
      ...choices,
    ),
    key,
  );
}
