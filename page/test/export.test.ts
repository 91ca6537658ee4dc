import { expect, it } from "vitest";
import { nameFor } from "../src/export/exporting";
import { niftiFile } from "../src/export/nifti";
import { segFile } from "../src/export/seg";

it("writes NIfTI voxels with the rows as the first axis", () => {
  const header = new Uint8Array(352).fill(7);
  const file = niftiFile(header, Uint8Array.of(1, 2, 3, 4, 5, 6), 2, 3);
  expect(file).toHaveLength(358);
  expect([...file.subarray(350)]).toEqual([7, 7, 1, 4, 2, 5, 3, 6]);
});

it("writes a mask and new identifiers into the SEG template", () => {
  const [one, other] = ["2.25.1000000001", "2.25.2000000002"];
  const template = new TextEncoder().encode(`${one}\0${other}\0${one}\0....`);
  const offsets = [0, 16, 32];
  const identifiers = offsets.map((offset) => ({ offset, length: 15 }));
  const labels = Uint8Array.from({ length: 18 }, (_, p) => (p % 5 === 0 ? 2 : 1));
  const file = segFile(
    template,
    { file: { dtype: "uint8", shape: [52], data: "" }, pixelData: 48, identifiers },
    labels,
    2,
  );
  const text = (offset: number) => new TextDecoder().decode(file.subarray(offset, offset + 16));
  const [first, second, third] = offsets.map(text);
  expect(third).toBe(first);
  expect(new Set([first, second, `${one}\0`, `${other}\0`]).size).toBe(4);
  for (const found of [first, second]) expect(found).toMatch(/^2\.25\.[1-9]\d{9}\0$/);
  expect([...file.subarray(48, 51)]).toEqual([0b00100001, 0b10000100, 0]);
  expect(file[51]).toBe(".".charCodeAt(0));
});

it("makes names of files of titles", () => {
  expect(nameFor("scan 1/<b>é</b>.nii")).toBe("scan_1_b_é_b_.nii_mask");
  expect(nameFor("../..")).toBe("image_mask");
});
