import type { FoundMode } from "../data/findings";
import type { Session } from "../state/session";
import { button, check, el, section } from "../view/dom";
import { modeLine } from "../view/palette";
import { thumbnail } from "../view/thumbnail";
import { swatch } from "../view/legend";
import { percents } from "../view/shares";
import { rough } from "../view/verdict";
import { count, interval, LETTERS, number, size } from "../view/words";

/** The alternatives with their probabilities. */
export function modesSection(session: Session): HTMLElement {
  const introduction = el("p");
  const list = el("ol", { class: "modes" });
  session.store.watch(["found", "conditions"], () => {
    const { kept, modes } = session.now.found;
    introduction.textContent =
      `${drawn(kept.length, session.study.facts.hypotheses.n)} ${grouped(modes.filter((mode) => mode.count > 0).length)}, with the share of ` +
      "outlines that are like it. The range beside it is how precisely this many outlines tell the share (95 % interval). " +
      `Whether the model is right is another question: see the end.${rough(kept.length)}`;
    const shares = percents(modes.map((mode) => mode.count));
    list.replaceChildren(...modes.map((mode, i) => item(session, mode, shares[i])));
  });
  return section("Which alternatives are there?", "alternatives", introduction, list);
}

function drawn(kept: number, all: number): string {
  const every = `The model drew ${count(all, "outline")} that it finds plausible`;
  return kept === all ? `${every}.` : `${every}; ${number(kept)} of them agree with the pixels that you settled.`;
}

function grouped(groups: number): string {
  return groups === 1
    ? "They are all alike; here is a typical one"
    : `They fall into ${count(groups, "group")} of similar ones; here is a typical one of each`;
}

/** How probable it is, and how precisely that is known. */
function shareOf({ now }: Session, mode: FoundMode, share: string): HTMLElement {
  const excluded = mode.count === 0 && now.conditions.length > 0;
  return el(
    "span",
    { class: "mode-share" },
    ...(excluded ? ["ruled out by your pixels"] : [el("strong", {}, share), ` (${interval(mode.interval)})`]),
  );
}

function item(session: Session, mode: FoundMode, share: string): HTMLElement {
  const { study } = session;
  const letter = LETTERS[mode.index] ?? String(mode.index + 1);
  const line = modeLine(mode.index);
  const area = mode.hypothesis === null ? 0 : session.now.found.of.planes.areas[mode.hypothesis];
  const show = (shown: boolean) => {
    const hiddenModes = new Set(session.now.hiddenModes);
    if (shown) hiddenModes.delete(mode.index);
    else hiddenModes.add(mode.index);
    session.store.set({ hiddenModes });
  };
  const edit = () => {
    if (mode.hypothesis !== null)
      session.startEditing({ name: `alternative ${letter}`, labels: study.labelsOf(mode.hypothesis) });
  };
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span"));
  (bar.firstChild as HTMLElement).style.width = `${100 * mode.share}%`;
  return el(
    "li",
    { class: mode.count === 0 ? "mode gone" : "mode" },
    thumbnail(session, mode.mask, line),
    el(
      "div",
      { class: "mode-text" },
      el(
        "span",
        { class: "mode-name" },
        el("b", {}, letter),
        area > 0 && swatch(line),
        area ? size(study, area) : mode.name,
      ),
      shareOf(session, mode, share),
      mode.hypothesis !== null &&
        mode.hypothesis !== session.now.found.of.modes[mode.index].hypothesis &&
        el("span", { class: "hint" }, "shown: another typical outline, because your pixels rule out the former"),
      bar,
      el(
        "span",
        { class: "actions" },
        area > 0 &&
          check(["on the image"], !session.now.hiddenModes.has(mode.index), show, {
            "aria-label": `Show alternative ${letter} on the image`,
          }),
        mode.hypothesis !== null &&
          button("Correct and export", edit, {
            class: "quiet",
            "aria-label": `Correct and export alternative ${letter}`,
          }),
      ),
    ),
  );
}
