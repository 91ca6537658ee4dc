// The image with everything around it: tools, zoom, window, and the legend of its lines.
import type { Session, Tool } from "../state/session";
import { button, el, newId } from "./dom";
import { KEY_HELP, listenToKeys } from "./keys";
import { legend } from "./legend";
import { listenToPointers } from "./pointing";
import { TOOLS } from "./tools";
import { Viewer } from "./viewer";
import { count, number } from "./words";

export function imagePanel(session: Session): HTMLElement {
  const help = newId("keys");
  const viewer = new Viewer(session, help);
  listenToPointers(session, viewer);
  listenToKeys(session, viewer);
  return el(
    "section",
    { class: "image-panel", "aria-label": "Image" },
    toolChoice(session),
    el("div", { class: "view-frame" }, viewer.canvas, zoomButtons(viewer)),
    status(session),
    el("p", { class: "visually-hidden", id: help }, KEY_HELP),
    settled(session),
    toolHint(session),
    legend(session),
    session.study.facts.image.channels === 1 && windowSliders(session),
  );
}

function toolChoice(session: Session): HTMLElement {
  const name = newId("tool");
  const choices = (Object.keys(TOOLS) as Tool[]).map((tool) => {
    const radio = el("input", {
      type: "radio",
      name,
      value: tool,
      class: "visually-hidden",
      change: () => {
        session.use(tool);
      },
    });
    session.store.watch(["tool", "edited"], () => {
      radio.checked = session.now.tool === tool;
      radio.disabled = (tool === "add" || tool === "erase") && !session.now.edited;
    });
    return el("label", { class: "segment" }, radio, el("span", {}, TOOLS[tool].label));
  });
  return el(
    "fieldset",
    { class: "segments tools" },
    el("legend", { class: "visually-hidden" }, "Tool for the image"),
    ...choices,
  );
}

/** The last thing that was said, for eyes and for screen readers. */
function status(session: Session): HTMLElement {
  const line = el("p", { class: "status", role: "status" });
  session.store.watch(["said", "where"], () => {
    const { said, where } = session.now;
    line.replaceChildren(said, ...(where === null ? [] : [" ", el("a", { href: `#${where}` }, "More of it")]));
  });
  return line;
}

/** Says that not all outlines count any more, and lets the reader have them back. */
function settled(session: Session): HTMLElement {
  const sentence = el("span");
  const line = el(
    "p",
    { class: "settled" },
    sentence,
    " ",
    button("All outlines again", () => {
      session.forgetAll();
    }),
  );
  session.store.watch(["conditions"], () => {
    const { conditions, found } = session.now;
    line.hidden = conditions.length === 0;
    const pixels = conditions.length === 1 ? "the pixel" : `the ${conditions.length} pixels`;
    sentence.textContent = `Only the ${count(found.kept.length, "outline")} that agree with ${pixels} you settled count now.`;
  });
  return line;
}

function toolHint(session: Session): HTMLElement {
  const hint = el("p", { class: "hint" });
  session.store.watch(["tool"], () => {
    hint.textContent = TOOLS[session.now.tool].hint;
  });
  return hint;
}

function zoomButtons(viewer: Viewer): HTMLElement {
  const { camera, redraw } = viewer;
  const zoom = (factor: number) => () => {
    camera.zoomBy(factor);
    redraw();
  };
  const all = () => {
    camera.showAll();
    redraw();
  };
  return el(
    "div",
    { class: "zoom" },
    button("+", zoom(1.4), { "aria-label": "Zoom in" }),
    button("−", zoom(1 / 1.4), { "aria-label": "Zoom out" }),
    button("All", all, { "aria-label": "All of the image" }),
    button(
      "Fit",
      () => {
        viewer.showOutlines();
      },
      { "aria-label": "Fit the outlines" },
    ),
  );
}

function windowSliders(session: Session): HTMLElement {
  const { unit, window: start } = session.study.facts.image;
  const range = start[1] - start[0] || 1;
  const slider = (
    name: string,
    min: number,
    max: number,
    get: () => number,
    set: (value: number) => void,
  ): HTMLElement => {
    const shown = el("output");
    const input = el("input", {
      type: "range",
      min,
      max,
      step: range / 200,
      input: () => {
        set(Number(input.value));
      },
    });
    session.store.watch(["window"], () => {
      input.value = String(get());
      shown.textContent = `${number(Number(get().toPrecision(3)))}${unit ? ` ${unit}` : ""}`;
      input.setAttribute("aria-valuetext", shown.textContent);
    });
    return el("label", { class: "slider" }, el("span", {}, name), input, shown);
  };
  const level = () => (session.now.window[0] + session.now.window[1]) / 2;
  const width = () => session.now.window[1] - session.now.window[0];
  const apply = (middle: number, whole: number) => {
    session.store.set({ window: [middle - whole / 2, middle + whole / 2] });
  };
  return el(
    "details",
    { class: "window" },
    el("summary", {}, "Brightness and contrast (level and window)"),
    slider("Level", start[0] - range / 2, start[1] + range / 2, level, (value) => {
      apply(value, width());
    }),
    slider("Window", range / 100, 2 * range, width, (value) => {
      apply(level(), value);
    }),
    button("Reset", () => {
      session.store.set({ window: start });
    }),
  );
}
