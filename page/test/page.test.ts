// @vitest-environment happy-dom
import { describe, expect, it, vi } from "vitest";
import type { Case } from "../src/case";
import { readStudy } from "../src/data/study";
import { download } from "../src/export/exporting";
import { hookOf } from "../src/hook";
import { buildPage } from "../src/page";
import { Session } from "../src/state/session";
import { bar, binaryCase, classesCase, pack } from "./cases";

vi.stubGlobal(
  "ResizeObserver",
  class {
    observe(): void {
      // the test has no layout
    }
  },
);

async function opened(facts: Case): Promise<{ session: Session; text: () => string }> {
  document.body.replaceChildren(Object.assign(document.createElement("main"), { id: "page" }));
  const session = new Session(await readStudy(facts));
  buildPage(document.querySelector("main")!, session, new Promise(() => undefined));
  return { session, text: () => document.body.textContent };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 30));

describe("the page", () => {
  it("has its sections in the order of need", async () => {
    await opened(binaryCase());
    expect([...document.querySelectorAll("section.card")].map(({ id }) => id)).toEqual([
      "alternatives",
      "presence",
      "size",
      "extent",
      "explore",
      "compare",
      "pixels",
      "edit",
      "heat",
      "trust",
    ]);
  });

  it("answers a reader's questions in words", async () => {
    const { text } = await opened(binaryCase());
    expect(text()).toContain("Not for diagnosis");
    expect(text()).toContain("75 % (41 to 93 %) is the model's probability that there is anything");
    expect(text()).toContain("They fall into 3 groups");
    expect(text()).toContain("half have an area above 3 mm²");
    expect(text()).toContain("50 % (22 to 78 %) of the outlines have an area of at least 3 mm²");
    expect(text()).toContain("Unusual image. It is dark.");
  });

  it("says all of it anew when a pixel is settled", async () => {
    const { session, text } = await opened(binaryCase());
    session.require(2, 4, true);
    expect(text()).toContain("4 of 8 outlines match");
    expect(text()).toContain("75 % (41 to 93 %) is the model's probability");
    expect(text()).toContain("You said that a pixel is inside, so something is there.");
    expect(text()).toContain("of the remaining outlines have an area");
    expect(text()).toContain("ruled out by your pixels");
    expect(text()).toContain("shown: another typical outline, because your pixels rule out the former");
    expect(text()).toContain("Only 4 outlines left: shares are rough.");
    expect(text()).toContain("Too few outlines left (4) to say.");
    expect(text()).not.toContain("nine in ten");
  });

  it("says that explored outlines are rounded, where they are", async () => {
    const facts = binaryCase();
    expect((await opened(facts)).text()).not.toContain("half precision");
    const { shape } = facts.pad!.decoder.base;
    facts.pad!.decoder.base = pack("float16", shape, new Array(shape[0] * shape[1]).fill(0));
    await opened(facts);
    expect(document.querySelector("#explore .rounded")?.textContent).toContain("half precision");
  });

  it("begins with the median as the threshold", async () => {
    const facts = binaryCase();
    facts.alternatives[0].measures[0].values = pack("float32", [8], [0, 1, 1, 2, 2, 90, 90, 0]);
    const { text } = await opened(facts);
    expect(text()).toContain("of the outlines have an area of at least 2 mm²");
  });

  it("compares the first given outline at once", async () => {
    const { text } = await opened(binaryCase());
    await settled();
    expect(text()).toContain("most similar outline overlaps it by 1.00 (IoU)");
    expect(text()).toContain("Quite likely.");
  });

  it("keeps the outlines that a button names, and goes on with the keyboard from there", async () => {
    const { session } = await opened(binaryCase());
    session.probe(2 * 10 + 4);
    const keep = document.querySelector<HTMLButtonElement>("#pixels tbody th button")!;
    expect(keep.disabled).toBe(false);
    keep.click();
    expect(session.now.found.kept).toHaveLength(4);
    expect(document.activeElement?.textContent).toBe("×");
    const again = document.querySelector<HTMLButtonElement>("#pixels tbody th button")!;
    expect([again.textContent, again.disabled]).toEqual(["changes nothing", true]);
    (document.activeElement as HTMLButtonElement).click();
    expect(document.activeElement?.textContent).toBe("Which pixel would tell most?");
  });

  it("says the name of a saved file, and that its mask is empty", async () => {
    const { session, text } = await opened(binaryCase());
    session.startEditing({ name: "nothing", labels: new Uint8Array(60) });
    await download(session, "nifti");
    expect(text()).toContain("Saved scan_mask.nii; its mask is empty.");
  });

  it("remembers the theme", async () => {
    await opened(binaryCase());
    const theme = () => document.documentElement.dataset["theme"];
    const choose = () => {
      [...document.querySelectorAll<HTMLButtonElement>("header button")].at(-1)!.click();
    };
    choose();
    const chosen = theme();
    delete document.documentElement.dataset["theme"];
    await opened(binaryCase());
    expect(theme()).toBe(chosen);
  });

  it("refuses thresholds below 0", async () => {
    const { text } = await opened(binaryCase());
    const input = document.querySelector<HTMLInputElement>("#size input[type=number]")!;
    input.value = "-3";
    input.dispatchEvent(new Event("input"));
    expect(text()).toContain("Type a threshold of 0 or more.");
  });

  it("does without a latent, and lets the reader choose a class", async () => {
    const { text } = await opened(classesCase());
    expect(text()).toContain("This method has no latent.");
    const choice = document.querySelector("header select") as HTMLSelectElement;
    choice.value = "car";
    choice.dispatchEvent(new Event("change"));
    expect(text()).toContain("33 % (6 to 79 %) is the model's probability that there is any car");
  });

  it("says why a file cannot be written", async () => {
    const { text } = await opened(binaryCase({ exports: { nifti: null, seg: null } }));
    expect(text()).toContain("DICOM SEG needs an image from a DICOM file.");
    expect(text()).toContain("NIfTI needs an image that knows its place in space");
  });
});

describe("the hook", () => {
  it("decodes, keeps and exports", async () => {
    const { session } = await opened(binaryCase());
    const hook = hookOf(session);
    expect([...hook.decode([0, 0])]).toEqual(bar(4));
    expect([...hook.decode([2, 0], "javascript")]).toEqual(bar(6));
    expect(hook.include(2, 7)).toBe(true);
    expect(hook.kept()).toEqual([5, 6]);
    await expect(hook.exported("nifti")).rejects.toThrow("pick an outline to edit first");
    hook.edit(bar(1));
    const file = await hook.exported("nifti");
    expect(file.slice(352).reduce((sum, label) => sum + label, 0)).toBe(4);
  });
});

const ATTACK = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>';

/** The case with all its texts replaced. */
function attacked(value: unknown, key = ""): unknown {
  const kept = ["data", "dtype", "level"];
  if (typeof value === "string") return kept.includes(key) ? value : ATTACK;
  if (Array.isArray(value)) return value.map((one) => attacked(one));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, attacked(one, name)]));
}

describe("texts of the case", () => {
  it.each([
    ["binary", binaryCase({ notes: ["note"] })],
    ["with classes", classesCase()],
  ])("never become markup (%s)", async (_, facts) => {
    const { session, text } = await opened(attacked(facts) as Case);
    session.compareWith(session.study.annotations[0]);
    session.require(2, 4, true);
    session.startEditing(session.study.annotations[0]);
    session.store.set({ probed: 3 });
    await settled();
    expect(text()).toContain(ATTACK);
    expect(
      document.querySelectorAll("main script, main img, header script, header img, footer script, footer img"),
    ).toHaveLength(0);
  });
});
