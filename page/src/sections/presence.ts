import { wilson } from "../data/statistics";
import type { Session } from "../state/session";
import { calibrated } from "../view/calibrated";
import { el, section } from "../view/dom";
import { any, count, interval, number, percent } from "../view/words";

/** The probability that there is anything at all: the model's own, and what the settled pixels make of it. */
export function presenceSection(session: Session): HTMLElement {
  const figure = el("span", { class: "figure" });
  const sentence = el("span");
  const checked = el("p");
  const settled = el("p", { class: "answer" });
  session.store.watch(["found", "conditions"], () => {
    const { of } = session.now.found;
    const { areas } = of.planes;
    const present = areas.reduce((sum, area) => sum + (area > 0 ? 1 : 0), 0);
    figure.textContent = percent(present / areas.length);
    sentence.textContent =
      `(${interval(wilson(present, areas.length))}) is the model's probability that there is ${any(of.name)}: ` +
      `${number(present)} of ${count(areas.length, "outline")} mark at least one pixel, the other ${number(areas.length - present)} mark nothing. ` +
      "The range is only how precisely this many outlines tell the share.";
    const told = calibrated(session.study.facts.model.calibration?.presence, present / areas.length);
    checked.textContent = told;
    checked.hidden = told === "";
    settled.hidden = session.now.conditions.length === 0;
    settled.textContent = afterSettling(session);
  });
  return section(
    "Is anything there?",
    "presence",
    el("p", { class: "with-figure" }, figure, " ", sentence),
    settled,
    checked,
  );
}

function afterSettling({ now }: Session): string {
  const { kept, present, of } = now.found;
  if (now.conditions.some(({ label, inside }) => inside && label === of.label))
    return "You said that a pixel is inside, so something is there. The number above is what the model said before that.";
  return (
    `Of the ${count(kept.length, "outline")} that agree with your pixels, ${number(present)} mark something ` +
    `(${percent(present / kept.length)}). The number above is what the model said before that.`
  );
}
