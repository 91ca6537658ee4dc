import { compare, type Comparison } from "../data/comparing";
import type { Drawing } from "../data/study";
import type { Session } from "../state/session";
import { button, el, section } from "../view/dom";
import { count, number, percent, size } from "../view/words";

const UNUSUAL = 0.05;

/** Where an outline of somebody falls among those of the model. */
export function comparingSection(session: Session): HTMLElement {
  const { annotations } = session.study;
  const chosen = el("select", {
    class: "wide",
    change: () => {
      session.compareWith(annotations[Number(chosen.value)] ?? null);
    },
  });
  chosen.append(
    el("option", { value: -1 }, "choose one"),
    ...annotations.map(({ name }, i) => el("option", { value: i }, `${i + 1}. ${name}`)),
  );
  const result = el("div", { class: "result", "aria-live": "polite" });
  const draw = button("Draw my own outline on the image", () => {
    session.store.set({ tool: "draw" });
  });
  const edited = button("Take the mask that I edit", () => {
    const { edited: labels } = session.now;
    if (labels) session.compareWith({ name: "the edited mask", labels, position: null, note: null });
  });
  session.store.watch(["edited"], () => {
    edited.hidden = session.now.edited === null;
  });
  let newest = 0;
  const show = async (): Promise<void> => {
    const mine = ++newest;
    const { compared, found } = session.now;
    chosen.value = String(compared ? annotations.indexOf(compared) : -1);
    if (!compared) {
      result.replaceChildren();
      return;
    }
    if (result.childElementCount === 0) result.replaceChildren(el("p", {}, "Comparing …"));
    const answer = await compare(found, compared.labels, () => mine !== newest);
    if (answer && mine === newest) result.replaceChildren(...said(session, compared, answer));
  };
  session.store.watch(["compared", "found"], () => void show());
  return section(
    "Would my outline be unusual?",
    "compare",
    el("p", {}, "Compare an outline with those that the model drew."),
    el(
      "div",
      { class: "actions" },
      annotations.length > 0 && el("label", { class: "inline" }, "A given outline ", chosen),
      draw,
      edited,
    ),
    result,
  );
}

function said(session: Session, drawing: Drawing, found: Comparison): Node[] {
  const unusual = found.typicality < UNUSUAL;
  const outlines = session.now.found.kept.length;
  const atLeast = Math.round(found.typicality * (Math.min(outlines, 4096) + 1)) - 1;
  const verdict = unusual
    ? `Yes, unusual for this model: only ${number(atLeast)} of its ${count(outlines, "outline")} differ from the others as much as ${drawing.name} does.`
    : `No, not unusual: ${number(atLeast)} of the model's ${count(outlines, "outline")} differ from the others at least as much as ${drawing.name} does.`;
  const facts = el(
    "dl",
    { class: "facts" },
    el("dt", {}, "Typicality"),
    el(
      "dd",
      {},
      `${found.typicality.toFixed(3)}: among the outlines and this one together, the share that differ from the rest (by mean 1 − IoU) at least as much as this one. Below 0.05 counts as unusual.`,
    ),
    el("dt", {}, "Most similar"),
    el(
      "dd",
      {},
      `outline ${found.nearest + 1} of the model, overlap (IoU) ${found.nearestIou.toFixed(2)}; 1 is the same, 0 has nothing in common.`,
    ),
    el("dt", {}, "Size"),
    el("dd", {}, `${size(session.study, found.area)}; ${percent(found.smaller)} of the model's outlines are smaller.`),
    ...(drawing.note === null ? [] : [el("dt", {}, "Likelihood"), el("dd", {}, drawing.note)]),
  );
  const show = () => {
    session.showHypothesis(found.nearest);
  };
  const edit = () => {
    session.startEditing({ name: "the most similar outline", labels: session.study.labelsOf(found.nearest) });
  };
  const editOwn = () => {
    session.startEditing(drawing);
  };
  return [
    el("p", { class: unusual ? "answer warn" : "answer" }, verdict),
    facts,
    el(
      "div",
      { class: "actions" },
      button("Show the most similar outline", show),
      button("Correct and export it", edit, { class: "quiet" }),
      button(`Correct and export ${drawing.name}`, editOwn, { class: "quiet" }),
    ),
  ];
}
