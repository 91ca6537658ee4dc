// The keyboard on the image.
import type { Session } from "../state/session";
import { about, useAt } from "./tools";
import type { Viewer } from "./viewer";

const ARROWS: Partial<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};
const PAN = 40; // screen pixels
const FAR = 10; // pixels of the image

export const KEY_HELP =
  "Keys on the image: arrows move the cross, with Ctrl by ten pixels, with Shift they move the image; Enter uses the tool; " +
  "plus and minus zoom, 0 shows the whole image; square brackets change the size of the brush; F finishes an outline, Escape drops it.";

export function listenToKeys(session: Session, viewer: Viewer): void {
  const { canvas } = viewer;
  canvas.addEventListener("keydown", (event) => {
    if (press(session, viewer, event)) event.preventDefault();
    viewer.redraw();
  });
  canvas.addEventListener("blur", () => {
    viewer.cursor.shown = false;
    viewer.redraw();
  });
}

function press(session: Session, viewer: Viewer, event: KeyboardEvent): boolean {
  const { key } = event;
  if (event.altKey || event.metaKey) return false;
  const arrow = ARROWS[key];
  if (arrow && event.shiftKey) viewer.camera.pan(-arrow[1] * PAN, -arrow[0] * PAN);
  else if (arrow) moveCross(session, viewer, arrow, event.ctrlKey ? FAR : 1);
  else if (event.ctrlKey) return false;
  else if (key === "Enter" || key === " ") use(session, viewer);
  else if (key === "+" || key === "=") viewer.camera.zoomBy(1.25);
  else if (key === "-") viewer.camera.zoomBy(0.8);
  else if (key === "0") viewer.camera.showAll();
  else if (key === "[" || key === "]")
    session.store.set({ brush: Math.max(1, session.now.brush + (key === "]" ? 1 : -1)) });
  else if (key === "f" || key === "F") finish(session, viewer);
  else if (key === "Escape" && viewer.drawing.length > 0) {
    viewer.drawing = [];
    session.say("The outline is dropped.");
  } else return false;
  return true;
}

function moveCross(session: Session, viewer: Viewer, [down, right]: readonly [number, number], steps: number): void {
  const { width, height } = session.study;
  const within = (at: number, length: number) => Math.min(Math.max(at, 0), length - 1);
  const row = within(viewer.cursor.row + steps * down, height);
  const column = within(viewer.cursor.column + steps * right, width);
  viewer.cursor = { row, column, shown: true };
  const [x, y] = viewer.camera.toScreen(column + 0.5, row + 0.5);
  const [wide, high] = viewer.camera.size;
  viewer.camera.pan(Math.max(20 - x, 0) - Math.max(x - wide + 20, 0), Math.max(20 - y, 0) - Math.max(y - high + 20, 0));
  session.say(about(session, row, column));
}

function use(session: Session, viewer: Viewer): void {
  const { row, column } = viewer.cursor;
  viewer.cursor.shown = true;
  if (session.now.tool === "draw") {
    viewer.drawing.push(column + 0.5, row + 0.5);
    session.say(`Corner ${viewer.drawing.length / 2} is set; F finishes the outline, Escape drops it.`);
  } else useAt(session, row, column);
}

function finish(session: Session, viewer: Viewer): void {
  if (viewer.drawing.length < 6) {
    session.say("F needs three corners: Enter sets one at the cross, with the tool Draw outline.");
    return;
  }
  session.draw(viewer.drawing);
  viewer.drawing = [];
}
