import { beforeEach, expect, it } from "vitest";
import { readStudy } from "../src/data/study";
import { Session } from "../src/state/session";
import { bar, binaryCase } from "./cases";

let session: Session;
beforeEach(async () => {
  session = new Session(await readStudy(binaryCase()));
});

const start = (columns: number) => {
  session.startEditing({ name: "a bar", labels: Uint8Array.from(bar(columns)) });
};
const add = (pixel: number) => {
  session.edit((labels) => {
    labels[pixel] = 1;
  });
};
const area = () => session.now.edited!.reduce((sum, label) => sum + label, 0);

it("has nothing to undo before anything is changed", () => {
  session.undoEdit();
  expect(session.now.undoable).toBe(0);
  start(2);
  expect(session.now.undoable).toBe(0);
});

it("brings back corrections when editing starts anew", () => {
  start(2);
  add(0);
  start(5);
  expect([area(), session.now.undoable]).toEqual([20, 2]);
  session.undoEdit();
  expect([area(), session.now.undoable]).toEqual([9, 1]);
  session.backToStart();
  expect([area(), session.now.undoable]).toEqual([8, 2]);
  session.undoEdit();
  expect(area()).toBe(9);
});

it("goes back to the start as one step", () => {
  start(2);
  add(0);
  add(1);
  session.backToStart();
  expect(area()).toBe(8);
  session.backToStart();
  expect(session.now.undoable).toBe(3);
  session.undoEdit();
  expect(area()).toBe(10);
});
