import { download, KINDS, missing, type Kind } from "../export/exporting";
import type { Session } from "../state/session";
import { button, el, section } from "../view/dom";
import { contradiction } from "../view/contradiction";
import { LETTERS, size } from "../view/words";

/** Pick an outline, correct it, take it along as a file. */
export function editingSection(session: Session): HTMLElement {
  const starts = el("div", { class: "actions" });
  session.store.watch(["found", "explored"], () => {
    const { found, explored } = session.now;
    const modes = found.modes.flatMap((mode) => {
      const { hypothesis } = mode;
      if (hypothesis === null) return [];
      const name = `alternative ${LETTERS[mode.index] ?? mode.index + 1}`;
      return [
        button(name, () => {
          session.startEditing({ name, labels: session.study.labelsOf(hypothesis) });
        }),
      ];
    });
    const other =
      explored &&
      button(explored.name, () => {
        session.startEditing(explored);
      });
    starts.replaceChildren(...modes, ...(other ? [other] : []));
  });
  const state = el("p", { class: "answer" });
  const size_ = el("input", {
    type: "range",
    min: 1,
    max: Math.ceil(Math.max(session.study.height, session.study.width) / 8),
    step: 1,
    input: () => {
      session.store.set({ brush: Number(size_.value) });
    },
  });
  const shown = el("output");
  session.store.watch(["brush"], () => {
    size_.value = String(session.now.brush);
    shown.textContent = `${session.now.brush} pixels`;
  });
  const brush = button("Brush", () => {
    session.use("add");
  });
  const eraser = button("Eraser", () => {
    session.use("erase");
  });
  const undo = button(
    "Undo",
    () => {
      session.undoEdit();
    },
    { "aria-keyshortcuts": "Control+Z Meta+Z" },
  );
  const restart = button("Back to the start", () => {
    session.backToStart();
  });
  const problem = el("p", { class: "answer warn", role: "alert", hidden: true });
  const files = (Object.keys(KINDS) as Kind[]).map((kind) => {
    const reason = missing(session, kind);
    const save = button(`Save as ${KINDS[kind]}`, () => {
      download(session, kind).catch((error: unknown) => {
        problem.hidden = false;
        problem.textContent = String(error);
      });
    });
    return { save, reason };
  });
  const why = files.flatMap(({ reason }) => (reason === null ? [] : [reason])).join(" ");
  session.store.watch(["edited", "found", "tool", "undoable", "conditions"], () => {
    const { edited, tool, found } = session.now;
    for (const one of [brush, eraser]) one.disabled = edited === null;
    for (const one of [undo, restart]) one.disabled = session.now.undoable === 0;
    brush.setAttribute("aria-pressed", String(tool === "add"));
    eraser.setAttribute("aria-pressed", String(tool === "erase"));
    for (const { save, reason } of files) save.disabled = edited === null || reason !== null;
    const area = edited?.reduce((sum, label) => sum + (label === found.of.label ? 1 : 0), 0) ?? 0;
    state.textContent = edited
      ? `The edited mask holds ${size(session.study, area)}. ${contradiction(session, edited)}`
      : "Nothing is edited yet: pick an outline above.";
  });
  return section(
    "Correct an outline and take it along",
    "edit",
    el("p", {}, "Start from:"),
    starts,
    state,
    el(
      "div",
      { class: "actions" },
      brush,
      eraser,
      undo,
      restart,
      el("label", { class: "slider" }, el("span", {}, "Brush size"), size_, shown),
    ),
    el("div", { class: "actions" }, ...files.map(({ save }) => save)),
    why !== "" && el("p", { class: "hint" }, why),
    problem,
  );
}
