import type { Session } from "../state/session";
import { check, el, section } from "../view/dom";
import { LINES } from "../view/palette";
import { swatch } from "../view/legend";
import { counting, tooFew } from "../view/verdict";
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
  session.store.watch(["found", "conditions"], () => {
    const { found } = session.now;
    const pixels = (mask: Uint8Array) => mask.reduce((sum, one) => sum + one, 0);
    const certain = pixels(found.inner);
    const possible = pixels(found.outer);
    const outlines = counting(session);
    const said = (area: number, share: number) => {
      if (tooFew(found.kept.length)) return `Too few outlines left (${found.kept.length}) to say.`;
      return area
        ? `${size(session.study, area)}, inside in at least ${share} % of ${outlines}.`
        : `No pixel: none is inside in ${share} % of ${outlines}.`;
    };
    inner.textContent = said(certain, 95);
    outer.textContent = said(possible, 5);
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
