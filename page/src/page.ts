// Puts the page together.
import { comparingSection } from "./sections/comparing";
import { editingSection } from "./sections/editing";
import { extentSection } from "./sections/extent";
import { heatSection } from "./sections/heat";
import { measuresSection } from "./sections/measures";
import { modesSection } from "./sections/modes";
import { padSection } from "./sections/pad";
import { pixelsSection } from "./sections/pixels";
import { presenceSection } from "./sections/presence";
import { trustSection } from "./sections/trust";
import { askFor, type Offer } from "./state/service";
import type { Session } from "./state/session";
import { button, el } from "./view/dom";
import { redrawing } from "./view/redrawing";
import { count } from "./view/words";
import { imagePanel } from "./view/toolbar";

/** Fills the main element, and puts a header before it and a footer behind it. offer: of a service that made the page. */
export function buildPage(main: HTMLElement, session: Session, offer: Promise<Offer>): void {
  const panel = imagePanel(session);
  const sections = [
    modesSection(session),
    presenceSection(session),
    measuresSection(session),
    extentSection(session),
    padSection(session),
    comparingSection(session),
    pixelsSection(session),
    editingSection(session),
    heatSection(session),
    trustSection(session),
  ].filter((one) => one !== null);
  main.replaceChildren(...warnings(session), panel, el("div", { class: "sections" }, ...sections));
  main.before(header(session, offer));
  main.after(footer(session));
  listenForUndo(session);
}

/** Ctrl+Z and Cmd+Z take back a step of editing, unless the reader is typing. */
function listenForUndo(session: Session): void {
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "number";
    if (typing || event.shiftKey || event.altKey || event.key.toLowerCase() !== "z") return;
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    session.undoEdit();
  });
}

function header(session: Session, offer: Promise<Offer>): HTMLElement {
  const { facts } = session.study;
  const { model, hypotheses } = facts;
  return el(
    "header",
    { class: "page-header" },
    el(
      "div",
      {},
      el("h1", {}, facts.title),
      el("p", {}, `${facts.source} · ${count(hypotheses.n, "outline")} by ${model.name} (${model.method})`),
    ),
    el(
      "div",
      { class: "header-tools" },
      el("strong", { class: "badge" }, "Not for diagnosis"),
      redrawing(hypotheses, offer, askFor),
      classChoice(session),
      themeButton(),
    ),
  );
}

/** The class that everything is about, where there are several. */
function classChoice(session: Session): HTMLElement | null {
  const { classes } = session.study;
  if (classes.length < 2) return null;
  const choice = el(
    "select",
    {
      change: () => {
        session.choose(classes[choice.selectedIndex]);
      },
    },
    ...classes.map(({ name }) => el("option", {}, name)),
  );
  return el("label", { class: "inline" }, "Class ", choice);
}

/** Switches between dark and light; before it is pressed the page follows the system. */
function themeButton(): HTMLButtonElement {
  const root = document.documentElement;
  const isDark = () =>
    (root.dataset["theme"] ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const before = remembered();
  if (before !== null) root.dataset["theme"] = before;
  const one = button("", () => {
    root.dataset["theme"] = isDark() ? "light" : "dark";
    remember(root.dataset["theme"]);
    name();
  });
  const name = () => {
    one.textContent = isDark() ? "Light theme" : "Dark theme";
  };
  name();
  return one;
}

const THEME = "fastpunet-theme";

function remember(theme: string): void {
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // A browser may forbid storage to a file; the theme then lasts as long as the page is open.
  }
}

function remembered(): string | null {
  try {
    const theme = localStorage.getItem(THEME);
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

function warnings({ study }: Session): HTMLElement[] {
  const { model, notes } = study.facts;
  const sentences =
    model.familiarity.level === "unusual" ? [`Unusual image. ${model.familiarity.sentence}`, ...notes] : notes;
  return sentences.length
    ? [
        el(
          "aside",
          { class: "warnings", "aria-label": "Warnings" },
          ...sentences.map((sentence) => el("p", {}, sentence)),
        ),
      ]
    : [];
}

function footer(session: Session): HTMLElement {
  const { made, hypotheses } = session.study.facts;
  return el(
    "footer",
    { class: "page-footer" },
    el("p", {}, "Not for diagnosis. This page works offline: nothing of the image leaves it."),
    el("p", {}, `fastpunet ${made.version} · ${made.date} · seed ${hypotheses.seed} · `, el("code", {}, made.command)),
  );
}
