import { answersAt, mostTelling, type Answer } from "../data/pixel";
import type { Session } from "../state/session";
import { button, el, section } from "../view/dom";
import { about } from "../view/tools";
import { percents } from "../view/shares";
import { counting } from "../view/verdict";
import { count, LETTERS, number } from "../view/words";

/** What changes if it is known of a pixel that it is inside, or outside. */
export function pixelsSection(session: Session): HTMLElement {
  const { width, facts, classes } = session.study;
  const answers = el("div", { class: "result", "aria-live": "polite" });
  const chips = el("ul", { class: "chips", "aria-label": "Pixels that are settled" });
  const status = el("p", { class: "answer" });
  const undo = button("Undo the last", () => {
    session.forget();
  });
  const reset = button("Reset", () => {
    session.forgetAll();
  });
  const ask = button("Which pixel would tell most?", () => {
    const pixel = mostTelling(session.now.found);
    if (pixel === null) session.say("No pixel tells the remaining alternatives apart.");
    else {
      session.probe(pixel);
      session.say(about(session, Math.floor(pixel / width), pixel % width), "pixels");
    }
  });
  session.store.watch(["probed", "found", "conditions"], () => {
    const { probed } = session.now;
    answers.replaceChildren(...(probed === null ? [] : asked(session, probed)));
  });
  session.store.watch(["conditions"], () => {
    const { conditions, found } = session.now;
    undo.disabled = reset.disabled = conditions.length === 0;
    status.textContent = conditions.length
      ? `${number(found.kept.length)} of ${count(facts.hypotheses.n, "outline")} match; what this page says of outlines is now about these. The circles of the map, likelihoods, and how far the model can be trusted stay what they were.`
      : `Nothing is settled: all ${count(facts.hypotheses.n, "outline")} count.`;
    chips.replaceChildren(
      ...conditions.map((one) => {
        const name = classes.length > 1 ? ` ${classes.find(({ label }) => label === one.label)?.name ?? ""}` : "";
        const what = `row ${one.row}, column ${one.column} ${one.inside ? "inside" : "outside"}${name}`;
        return el(
          "li",
          {},
          what,
          button(
            "×",
            () => {
              session.forget(one);
              (chips.querySelector<HTMLElement>("li:last-child button") ?? ask).focus();
            },
            { "aria-label": `Take back: ${what}` },
          ),
        );
      }),
    );
  });
  const tools = (["include", "exclude"] as const).map((tool) =>
    button(tool === "include" ? "Click pixels that are inside" : "Click pixels that are outside", () => {
      session.use(tool);
    }),
  );
  return section(
    "What changes if this pixel is inside?",
    "pixels",
    el(
      "p",
      {},
      `Click a pixel of the image (${width} × ${session.study.height}), or let the page choose the one that tells the alternatives apart best. If you know whether it is inside, say so: outlines that disagree are left out.`,
    ),
    el("div", { class: "actions" }, ask, ...tools),
    answers,
    status,
    chips,
    el("div", { class: "actions" }, undo, reset),
  );
}

function asked(session: Session, pixel: number): Node[] {
  const { width } = session.study;
  const [row, column] = [Math.floor(pixel / width), pixel % width];
  const { inside, outside } = answersAt(session.now.found, pixel);
  const total = inside.count + outside.count;
  const shares = percents([inside.count, outside.count]);
  const keep = (answer: Answer, is: boolean) =>
    button(
      answer.count === total ? "changes nothing" : "Keep these",
      () => {
        session.require(row, column, is);
        document.querySelector<HTMLElement>(".chips li:last-child button")?.focus();
      },
      {
        class: "quiet",
        disabled: answer.count === total || answer.count === 0,
        "aria-label": `${answer.count === total ? "Changes nothing" : "Keep these outlines only"}: the pixel is ${is ? "inside" : "outside"}`,
      },
    );
  const line = (name: string, answer: Answer, is: boolean): HTMLElement => {
    const modes = percents(answer.modes.map((share) => Math.round(share * answer.count)));
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name, " ", answer.count > 0 && keep(answer, is)),
      el("td", {}, `${number(answer.count)} (${shares[is ? 0 : 1]})`),
      ...modes.map((share) => el("td", {}, share)),
    );
  };
  const head = [
    "If the pixel is",
    "outlines left",
    ...session.now.found.modes.map((mode) => LETTERS[mode.index] ?? mode.index),
  ];
  return [
    el("p", {}, `Row ${row}, column ${column} is inside in ${shares[0]} of ${counting(session)}.`),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "What follows for the alternatives" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...head.map((one) => el("th", { scope: "col" }, one)))),
        el("tbody", {}, line("inside", inside, true), line("outside", outside, false)),
      ),
    ),
  ];
}
