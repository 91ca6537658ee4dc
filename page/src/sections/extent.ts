import type { Session } from "../state/session";
import { check, el, section } from "../view/dom";
import { LINES } from "../view/palette";
import { swatch } from "../view/legend";
import { size } from "../view/words";

/** What is certainly inside, and what is possibly inside. */
export function extentSection(session: Session): HTMLElement {
  const inner = el("dd");
  const outer = el("dd");
  const shown = check(["Show both on the image"], false, (on) => {
    session.toggle("extent", on);
  });
  const box = shown.querySelector("input")!;
  session.store.watch(["layers"], () => {
    box.checked = session.now.layers.has("extent");
  });
  session.store.watch(["found"], () => {
    const { found } = session.now;
    const pixels = (mask: Uint8Array) => mask.reduce((sum, one) => sum + one, 0);
    const certain = pixels(found.inner);
    const possible = pixels(found.outer);
    inner.textContent = certain
      ? `${size(session.study, certain)}, inside in at least 95 % of the outlines.`
      : "No pixel: none is inside in 95 % of the outlines.";
    outer.textContent = possible
      ? `${size(session.study, possible)}, inside in at least 5 % of the outlines.`
      : "No pixel: none is inside in 5 % of the outlines.";
  });
  const list = el(
    "dl",
    { class: "facts" },
    el("dt", {}, swatch(LINES.inner), "Certain"),
    inner,
    el("dt", {}, swatch(LINES.outer), "Possible"),
    outer,
  );
  return section("What is certain, what is possible?", "extent", list, shown);
}
