// What the tools do at a pixel, whichever way they are used.
import { brush } from "../data/filling";
import type { Session, State } from "../state/session";
import { contradiction } from "./contradiction";
import { counting } from "./verdict";
import { percent, size } from "./words";

export type Point = readonly [number, number]; // x along columns, y along rows, in pixels of the image

/** Uses the tool at a pixel, as by a click or by Enter. */
export function useAt(session: Session, row: number, column: number): void {
  const { tool } = session.now;
  session.probe(row * session.study.width + column);
  if (tool === "include" || tool === "exclude") session.require(row, column, tool === "include");
  else if (tool === "add" || tool === "erase") brushAt(session, row, column);
  else session.say(about(session, row, column), "pixels");
}

function brushAt(session: Session, row: number, column: number): void {
  paint(session, [column + 0.5, row + 0.5], [column + 0.5, row + 0.5], false);
  sayEdited(session);
}

/** Moves the brush from one point to another. */
export function paint(session: Session, from: Point, to: Point, goesOn: boolean): void {
  const { tool, brush: diameter } = session.now;
  const { label, study } = session;
  const change = tool === "add" ? () => label : (before: number) => (before === label ? 0 : before);
  session.edit((labels) => {
    brush(labels, study.width, from, to, diameter, change);
  }, goesOn);
}

/** Says how large the edited mask is, and what speaks against it. */
export function sayEdited(session: Session): void {
  const { edited } = session.now;
  if (!edited) return;
  const area = edited.reduce((sum, label) => sum + (label === session.label ? 1 : 0), 0);
  session.say(`The edited mask holds ${size(session.study, area)}. ${contradiction(session, edited)}`, "edit");
}

/** A sentence on a pixel. */
export function about(session: Session, row: number, column: number): string {
  const { study, now } = session;
  const pixel = row * study.width + column;
  const { counts, kept } = now.found;
  return `Row ${row}, column ${column}: ${valueAt(study, pixel)}, inside in ${percent(counts[pixel] / kept.length)} of ${counting(session)}.`;
}

function valueAt({ pixels, facts }: Session["study"], pixel: number): string {
  const { channels, unit } = facts.image;
  const values = Array.from({ length: channels }, (_, i) => Number(pixels[pixel * channels + i].toPrecision(4)));
  return `value ${values.join(", ")}${unit ? ` ${unit}` : ""}`;
}

export const TOOLS: Record<State["tool"], { label: string; hint: string }> = {
  look: {
    label: "Look",
    hint: "Drag to move the image, click a pixel to ask about it. Drag with Shift or the right button for brightness and contrast.",
  },
  include: { label: "Is inside", hint: "Click a pixel that is inside for certain: only outlines that hold it stay." },
  exclude: { label: "Is outside", hint: "Click a pixel that is outside for certain: only outlines without it stay." },
  draw: {
    label: "Draw outline",
    hint: "Draw your own outline by dragging; it closes by itself. By keyboard: Enter sets a corner, F finishes.",
  },
  add: { label: "Brush", hint: "Drag to add to the mask that you edit." },
  erase: { label: "Eraser", hint: "Drag to take away from the mask that you edit." },
};
