import { wilson } from "../data/statistics";
import type { Session } from "../state/session";
import { el, section } from "../view/dom";
import { any, count, interval, number, percent } from "../view/words";

/** The probability that there is anything at all. */
export function presenceSection(session: Session): HTMLElement {
  const figure = el("span", { class: "figure" });
  const sentence = el("span");
  session.store.watch(["found"], () => {
    const { kept, present, of } = session.now.found;
    figure.textContent = percent(present / kept.length);
    sentence.textContent =
      `(${interval(wilson(present, kept.length))}) is the model's probability that there is ${any(of.name)}: ` +
      `${number(present)} of ${count(kept.length, "outline")} mark at least one pixel, the other ${number(kept.length - present)} mark nothing.`;
  });
  return section("Is anything there?", "presence", el("p", { class: "with-figure" }, figure, " ", sentence));
}
