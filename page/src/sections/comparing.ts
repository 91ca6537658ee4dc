import { compare, type Comparison } from "../data/comparing";
import type { Drawing } from "../data/study";
import type { Session } from "../state/session";
import { button, el, section } from "../view/dom";
import { contradiction } from "../view/contradiction";
import { overlapped, rough, sizeRank, verdict } from "../view/verdict";
import { capital, size } from "../view/words";

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
    session.use("draw");
  });
  const edited = button("Take the mask that I edit", () => {
    const { edited: labels } = session.now;
    if (labels) session.compareWith({ name: "the edited mask", labels, position: null, note: null });
  });
  session.store.watch(["edited"], () => {
    edited.hidden = session.now.edited === null;
  });
  let newest = 0;
  let announced = session.now.compared;
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
    if (!answer || mine !== newest) return;
    result.replaceChildren(...said(session, compared, answer));
    if (compared !== announced)
      session.say(
        `${capital(compared.name)}. ${verdict(answer).sentence} ${contradiction(session, compared.labels)}`,
        "compare",
      );
    announced = compared;
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
  const { unusual, sentence } = verdict(found);
  const against = contradiction(session, drawing.labels);
  const fact = (name: string, text: string) => [el("dt", {}, name), el("dd", {}, text)];
  const facts = el(
    "dl",
    { class: "facts" },
    ...fact("Size", `${size(session.study, found.area)}; ${sizeRank(found)}.`),
    ...fact(
      "Overlap",
      `${capital(overlapped(found))}. It is outline ${found.nearest + 1}; 1 is the same, 0 has nothing in common.`,
    ),
    ...fact(
      "Typicality",
      `${found.typicality.toFixed(3)}: among the outlines and this one together, the share that differ from the rest (by mean 1 − IoU) at least as much as this one.`,
    ),
    ...(drawing.note === null ? [] : fact("Likelihood", drawing.note)),
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
    el(
      "p",
      { class: unusual ? "answer warn" : "answer" },
      `${capital(drawing.name)}. ${sentence}${rough(found.compared)}`,
    ),
    against !== "" && el("p", { class: "answer warn" }, against),
    facts,
    el(
      "p",
      { class: "hint" },
      "Unusual is what goes for about one in twenty of the model's own outlines, in size, in overlap with the most similar other one, or in typicality (below 0.05).",
    ),
    el(
      "div",
      { class: "actions" },
      button("Show the most similar outline", show),
      button("Correct and export it", edit, { class: "quiet" }),
      button(`Correct and export ${drawing.name}`, editOwn, { class: "quiet" }),
    ),
  ].filter((one) => one !== false);
}
