import type { Session } from "../state/session";
import { el, eachFrame, newId, section, svg } from "../view/dom";
import { modeLine } from "../view/palette";
import { contradiction } from "../view/contradiction";
import { size } from "../view/words";

const SIDE = 400; // of the drawing
const SHARES = [0.39, 0.86, 0.99]; // of the outlines within 1, 2 and 3 standard deviations
// Of the modes, around a point.
const MARKS = [
  "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
  "m-2.6-2.6h5.2v5.2h-5.2z",
  "m0-3.6l3.4 6h-6.8z",
  "m0-3.8l3.8 3.8-3.8 3.8-3.8-3.8z",
  "m-3-3l6 6m0-6l-6 6",
];

const ROUNDED =
  "To keep this page small, the outlines of this map are computed from rounded numbers (half precision): single pixels at their " +
  "border may differ from what the model would draw. Nothing else on this page is rounded in this way.";

/** The plane of outlines, in which a point is dragged. */
export function padSection(session: Session): HTMLElement {
  const { pad, facts } = session.study;
  if (!pad)
    return section(
      "Explore outlines",
      "explore",
      el("p", {}, facts.padMissing ?? "This model has no map of its outlines."),
    );
  const scale = SIDE / 2 / pad.reach;
  const place = ([a, b]: readonly [number, number]): [number, number] => [SIDE / 2 + a * scale, SIDE / 2 - b * scale];
  const picture = svg("svg", { class: "pad", viewBox: `0 0 ${SIDE} ${SIDE}` });
  const points = svg("g", { "aria-hidden": "true" });
  const handle = svg(
    "g",
    { class: "handle", "aria-hidden": "true" },
    svg("circle", { r: 11 }),
    svg("path", { d: "M-5 0h10M0 -5v10" }),
  );
  const circles = SHARES.flatMap((share, i) => {
    const radius = (i + 1) * scale;
    return [
      svg("circle", { class: "contour", cx: SIDE / 2, cy: SIDE / 2, r: radius }),
      svg("text", { x: SIDE / 2, y: SIDE / 2 - radius + 15, "text-anchor": "middle" }, `${Math.round(100 * share)} %`),
    ];
  });
  const annotations = session.study.annotations.flatMap(({ position }, i) => {
    if (!position) return [];
    const [x, y] = place(position);
    return [
      svg("circle", { class: "annotation", cx: x, cy: y, r: 9 }),
      svg("text", { class: "annotation", x, y: y + 4, "text-anchor": "middle" }, String(i + 1)),
    ];
  });
  picture.append(points, ...circles, ...annotations, handle);

  const explore = (position: readonly [number, number]) => {
    session.explore(position);
  };
  let wanted: readonly [number, number] = [0, 0];
  let dragging = false;
  const soon = eachFrame(() => {
    explore(wanted);
  });
  const drag = (event: PointerEvent) => {
    const box = picture.getBoundingClientRect();
    const at = (value: number, length: number) => ((value / length) * 2 - 1) * pad.reach;
    wanted = [at(event.clientX - box.left, box.width), -at(event.clientY - box.top, box.height)];
    soon();
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    session.store.set({ focus: "explored" });
    session.say("");
    dragging = true;
    drag(event);
  });
  for (const end of ["pointerup", "pointercancel"] as const) {
    picture.addEventListener(end, () => {
      session.store.set({ focus: null });
      if (!dragging) return;
      dragging = false;
      explore(wanted);
      session.say(described(session), "explore");
    });
  }
  picture.addEventListener("pointermove", (event) => {
    if (event.buttons) drag(event);
  });

  const sliders = (["Left to right", "Bottom to top"] as const).map((name, axis) => {
    const input = el("input", {
      type: "range",
      min: -pad.reach,
      max: pad.reach,
      step: 0.05,
      input: () => {
        const other = session.now.position ?? [0, 0];
        explore(axis === 0 ? [Number(input.value), other[1]] : [other[0], Number(input.value)]);
        session.say(described(session), "explore");
      },
    });
    return { name, input };
  });
  const surface = el(
    "div",
    {
      class: "pad-frame",
      tabindex: 0,
      role: "application",
      "aria-label": "Map of the outlines. Arrow keys move the point, with Shift in larger steps.",
      keydown: ((event: KeyboardEvent) => {
        const step = event.shiftKey ? 0.5 : 0.1;
        const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[
          event.key
        ];
        if (!move) return;
        event.preventDefault();
        const [a, b] = session.now.position ?? [0, 0];
        explore([a + move[0], b + move[1]]);
        session.say(described(session), "explore");
      }) as EventListener,
    },
    picture,
  );

  const now = el("p", { class: "answer" });
  session.store.watch(["position"], () => {
    const position = session.now.position ?? [0, 0];
    const [x, y] = place(position);
    handle.setAttribute("transform", `translate(${x} ${y})`);
    handle.setAttribute("class", session.now.position ? "handle" : "handle idle");
    sliders.forEach(({ input }, axis) => {
      input.value = String(position[axis]);
      input.setAttribute("aria-valuetext", `${position[axis].toFixed(1)} standard deviations`);
    });
  });
  session.store.watch(["explored", "found", "conditions"], () => {
    now.textContent = described(session);
  });
  session.store.watch(["found"], () => {
    points.replaceChildren(...pointPaths(session, place));
  });

  const group = newId("pad");
  return section(
    "Explore outlines",
    "explore",
    el(
      "p",
      { id: group },
      "Every position of this map is one outline. Drag the point and watch the outline on the image change. Neighbours look alike; " +
        "common outlines lie in the middle: the circles hold 39 %, 86 % and 99 % of all that the model draws. The small marks are its " +
        `outlines, shaped as in the list of alternatives${annotations.length ? "; numbers are given outlines" : ""}. (It is a plane through the model's latent space.)`,
    ),
    ...(facts.pad?.decoder.base.dtype === "float16" ? [el("p", { class: "rounded" }, ROUNDED)] : []),
    surface,
    el(
      "div",
      { class: "sliders" },
      ...sliders.map(({ name, input }) => el("label", { class: "slider" }, el("span", {}, name), input)),
    ),
    now,
  );
}

function described(session: Session): string {
  const { explored, found } = session.now;
  if (!explored) return "Nothing is explored yet: drag the point.";
  const area = explored.labels.reduce((sum, label) => sum + (label === found.of.label ? 1 : 0), 0);
  const [a, b] = explored.position ?? [0, 0];
  const distance = explored.position ? `; ${Math.hypot(a, b).toFixed(1)} standard deviations from the middle` : "";
  return `${explored.name[0].toUpperCase()}${explored.name.slice(1)}: ${size(session.study, area)}${distance}. ${contradiction(session, explored.labels)}`.trim();
}

/** A path for the outlines of each mode, and one, fainter, for those that no longer match. */
function pointPaths(session: Session, place: (at: readonly [number, number]) => [number, number]): SVGElement[] {
  const { found } = session.now;
  const positions = session.study.pad!.positions;
  const kept = new Set(found.kept);
  const paths = found.modes.map(() => "");
  let dropped = "";
  for (let k = 0; k < found.of.members.length; k++) {
    const mode = found.of.members[k];
    const [x, y] = place([positions[2 * k], positions[2 * k + 1]]);
    const start = `M${x.toFixed(1)} ${y.toFixed(1)}`;
    if (kept.has(k)) paths[mode] += start + MARKS[mode % MARKS.length];
    else dropped += `${start}h.01`;
  }
  return [
    svg("path", { class: "dropped", d: dropped }),
    ...paths.map((d, mode) => svg("path", { class: "kept", d, stroke: modeLine(mode).colour })),
  ];
}
