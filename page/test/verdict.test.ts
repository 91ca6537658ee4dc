import { describe, expect, it } from "vitest";
import type { Comparison } from "../src/data/comparing";
import { compare } from "../src/data/comparing";
import { contradicted } from "../src/data/contradicting";
import { readStudy } from "../src/data/study";
import { Session } from "../src/state/session";
import { contradiction } from "../src/view/contradiction";
import { verdict } from "../src/view/verdict";
import { bar, binaryCase, HEIGHT, packBits, WIDTH } from "./cases";

/** Bars of these columns, all in one mode. */
async function sessionOf(columns: number[]): Promise<Session> {
  const n = columns.length;
  const facts = binaryCase();
  facts.hypotheses = { n, seed: 0, labels: packBits([n, HEIGHT, WIDTH], columns.flatMap(bar)), z: null };
  const members = { ...facts.alternatives[0].members, ...packMembers(n) };
  facts.alternatives = [
    { ...facts.alternatives[0], members, modes: facts.alternatives[0].modes.slice(0, 1), measures: [] },
  ];
  facts.pad = null;
  return new Session(await readStudy(facts));
}

function packMembers(n: number) {
  const { data } = packBits([8 * n], new Array<number>(8 * n).fill(0));
  return { dtype: "uint8" as const, shape: [n], data };
}

const placed = async (columns: number[], drawn: number[]): Promise<Comparison> =>
  (await compare((await sessionOf(columns)).now.found, Uint8Array.from(drawn), () => false))!;

const times = (n: number, columns: number) => new Array<number>(n).fill(columns);
const moved = Array.from({ length: HEIGHT * WIDTH }, (_, p) => (p === 0 ? 1 : 0));

describe("a verdict", () => {
  it("counts outlines that differ as much, in plain words", async () => {
    const found = await placed([...times(20, 3), ...times(20, 4)], bar(3));
    expect(found).toMatchObject({ farther: 40, compared: 40, smaller: 0, larger: 20, usualIou: 1 });
    expect(verdict(found)).toEqual({
      unusual: false,
      sentence: "Ordinary: 40 of 40 outlines differ from the others at least as much.",
    });
  });

  it("names a size that no outline has, though its mean distance is ordinary", async () => {
    const found = await placed([...times(36, 4), ...times(4, 1), 0], bar(8));
    expect(found.typicality).toBeGreaterThan(0.05);
    const { unusual, sentence } = verdict(found);
    expect(unusual).toBe(true);
    expect(sentence).toContain("Unusual in size: larger than all 40 outlines that mark anything.");
    expect(sentence).toContain(
      "overlaps it by 0.50 (IoU), while 95 % of the outlines have another one that overlaps by at least 1.00",
    );
    expect(sentence).not.toContain("Ordinary");
  });

  it("names an outline that none overlaps", async () => {
    const { sentence } = verdict(await placed([...times(20, 3), ...times(20, 4)], moved));
    expect(sentence).toContain("Unusual in place or shape: none of the outlines overlaps it.");
    expect(sentence).toContain("Unusual on the whole: none of 40 outlines differs from the others as much.");
  });

  it("of nothing asks how many outlines mark nothing", async () => {
    expect(verdict(await placed([...times(20, 0), ...times(20, 4)], bar(0))).unusual).toBe(false);
    expect(verdict(await placed(times(40, 4), bar(0))).sentence).toContain("every outline marks something");
  });

  it("is not given on fewer than twenty outlines", async () => {
    expect(verdict(await placed(times(4, 3), moved)).sentence).toBe("Too few outlines left (4) to judge.");
    expect(verdict(await placed(times(19, 3), moved)).unusual).toBe(false);
    expect(verdict(await placed(times(20, 3), moved)).unusual).toBe(true);
  });
});

describe("a contradiction", () => {
  const conditions = [
    { row: 2, column: 3, label: 1, inside: false },
    { row: 2, column: 8, label: 1, inside: true },
  ];

  it("is a settled pixel on the wrong side, of those that are annotated", () => {
    expect(contradicted(Uint8Array.from(bar(1)), WIDTH, conditions)).toEqual([conditions[1]]);
    expect(contradicted(Uint8Array.from(bar(4)), WIDTH, conditions)).toEqual(conditions);
    expect(contradicted(new Uint8Array(HEIGHT * WIDTH).fill(255), WIDTH, conditions)).toEqual([]);
  });

  it("is said with its row and column", async () => {
    const session = await sessionOf([1, 3, 6]);
    session.require(2, 4, false);
    session.require(2, 2, true);
    expect(contradiction(session, Uint8Array.from(bar(1)))).toBe("");
    expect(contradiction(session, Uint8Array.from(bar(3)))).toBe(
      "It contains row 2, column 4, which you said is outside.",
    );
    expect(contradiction(session, Uint8Array.from(bar(0)))).toBe(
      "It leaves out row 2, column 2, which you said is inside.",
    );
  });
});
