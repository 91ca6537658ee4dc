import { beforeAll, describe, expect, it } from "vitest";
import { compare } from "../src/data/comparing";
import { answersAt, mostTelling } from "../src/data/pixel";
import { readStudy, type Study } from "../src/data/study";
import { Session } from "../src/state/session";
import { bar, binaryCase, classesCase, COLUMNS, N, WIDTH } from "./cases";

let study: Study;
let session: Session;
beforeAll(async () => {
  study = await readStudy(binaryCase());
});

function fresh(): Session {
  session = new Session(study);
  return session;
}

describe("findings", () => {
  it("of all hypotheses are those of the case", () => {
    const { found } = fresh().now;
    expect(found.present).toBe(6);
    expect(found.modes.map(({ count, share, hypothesis, name }) => [count, share, hypothesis, name])).toEqual([
      [4, 0.5, 1, "8 pixels"],
      [2, 0.25, 0, "nothing"],
      [2, 0.25, 5, "24 pixels"],
    ]);
    expect([...found.inner]).toEqual(bar(0));
    expect([...found.outer]).toEqual(bar(6));
  });

  it("follow pixels that are included and excluded, and come back", () => {
    const { store } = fresh();
    expect(session.require(2, 4, true)).toBe(true); // three columns or more
    expect([...store.now.found.kept]).toEqual([3, 4, 5, 6]);
    expect([...store.now.found.inner]).toEqual(bar(3));
    expect(store.now.found.modes.map(({ count, hypothesis, name }) => [count, hypothesis, name])).toEqual([
      [2, 3, "12 pixels"],
      [0, null, "nothing"],
      [2, 5, "24 pixels"],
    ]);
    session.require(2, 7, false);
    expect([...store.now.found.kept]).toEqual([3, 4]);
    session.forget();
    expect([...store.now.found.kept]).toEqual([3, 4, 5, 6]);
    session.forgetAll();
    expect(store.now.found.kept).toHaveLength(N);
  });

  it("stay as they are where no hypothesis would be left", () => {
    fresh();
    expect(session.require(0, 0, true)).toBe(false);
    expect(session.now.found.kept).toHaveLength(N);
    expect(session.now.said).toContain("nothing was changed");
  });

  it("take back what was said before of the same pixel", () => {
    fresh();
    session.require(2, 4, true);
    session.require(2, 4, false);
    expect([...session.now.found.kept]).toEqual([0, 1, 2, 7]);
    expect(session.now.conditions).toHaveLength(1);
  });

  it("of another class keep the conditions", async () => {
    const classes = new Session(await readStudy(classesCase()));
    classes.require(2, 4, true);
    expect([...classes.now.found.kept]).toEqual([1, 2]);
    classes.choose(classes.study.classes[1]);
    expect([...classes.now.found.kept]).toEqual([1, 2]);
    expect(classes.now.found.present).toBe(1);
    expect([...classes.now.found.outer]).toEqual(bar(6).map((inside, p) => (inside && p % WIDTH > 4 ? 1 : 0)));
  });
});

/** As fastpunet.hypotheses.assessments defines it, in plain loops. */
function typicality(columns: number[], drawn: number): number {
  const distance = (a: number, b: number) => (a === b ? 0 : 1 - Math.min(a, b) / Math.max(a, b));
  const own = columns.reduce((sum, one) => sum + distance(one, drawn), 0);
  const farther = columns.filter(
    (one) => columns.reduce((sum, other) => sum + distance(one, other), distance(one, drawn)) >= own - 1e-9,
  );
  return (1 + farther.length) / (1 + columns.length);
}

describe("comparing", () => {
  it.each([0, 1, 3, 5, 8])("places a bar of %i columns among the hypotheses", async (columns) => {
    const found = await compare(fresh().now.found, Uint8Array.from(bar(columns)), () => false);
    expect(found?.typicality).toBeCloseTo(typicality(COLUMNS, columns), 12);
    expect(found?.smaller).toBe(COLUMNS.filter((one) => one > 0 && one < columns).length);
    expect(found?.larger).toBe(COLUMNS.filter((one) => one > columns).length);
    expect(found?.marking).toBe(6);
    expect(found?.area).toBe(4 * columns);
  });

  it("finds the nearest hypothesis among those that are kept", async () => {
    const whole = await compare(fresh().now.found, Uint8Array.from(bar(5)), () => false);
    expect([whole?.nearest, whole?.nearestIou]).toEqual([5, 5 / 6]);
    session.require(2, 7, false);
    const some = await compare(session.now.found, Uint8Array.from(bar(5)), () => false);
    expect(some?.nearest).toBe(3);
    expect(some?.nearestIou).toBeCloseTo(3 / 5, 12);
  });

  it("leaves out pixels that nobody annotated", async () => {
    const unknown = Uint8Array.from(bar(9), (inside, p) => (p % WIDTH >= 4 ? 255 : inside)); // two columns are known
    const found = await compare(fresh().now.found, unknown, () => false);
    expect([found?.nearestIou, found?.area]).toEqual([1, 8]);
    expect(found?.typicality).toBeCloseTo(
      typicality(
        COLUMNS.map((one) => Math.min(one, 2)),
        2,
      ),
      12,
    );
  });
});

describe("a pixel", () => {
  it("leaves for each answer the hypotheses that agree", () => {
    const { inside, outside } = answersAt(fresh().now.found, 2 * WIDTH + 4);
    expect(inside).toEqual({ count: 4, modes: [0.5, 0, 0.5] });
    expect(outside).toEqual({ count: 4, modes: [0.5, 0.5, 0] });
  });

  it("that tells most divides the modes best", () => {
    expect([2, 3].map((column) => WIDTH + column)).toContain(mostTelling(fresh().now.found)); // nothing, or any of the others
  });

  it("tells nothing once one mode is left", () => {
    fresh().require(2, 7, true);
    expect(mostTelling(session.now.found)).toBeNull();
  });
});
