import { expect, it } from "vitest";
import { calibrated } from "../src/view/calibrated";
import { percents } from "../src/view/shares";
import { interval } from "../src/view/words";

it("rounds shares so that they sum to 100 %", () => {
  expect(percents([1, 1, 1])).toEqual(["34 %", "33 %", "33 %"]);
  expect(percents([465, 425, 110])).toEqual(["47 %", "42 %", "11 %"]);
  expect(percents([0, 8])).toEqual(["0 %", "100 %"]);
  expect(percents([999, 1])).toEqual(["over 99 %", "under 1 %"]);
  expect(percents([0, 0])).toEqual(["–", "–"]);
});

it("claims no certainty by rounding the ends of an interval", () => {
  expect(interval([0.996, 1])).toBe("over 99 to 100 %");
  expect(interval([0, 0.004])).toBe("0 to under 1 %");
  expect(interval([0.531, 0.594])).toBe("53 to 59 %");
});

it("tells what came of a probability where enough images were checked", () => {
  const bins = { count: [30, 12], predicted: [0.852, 0.35], observed: [0.72, 0.4] };
  expect(calibrated(bins, 0.83)).toBe(
    "Where it was checked: when it said about 85 %, experts marked something 72 % of the time (30 images).",
  );
  expect(calibrated(bins, 0.36)).toBe("");
  expect(calibrated(bins, 0.6)).toBe("");
  expect(calibrated(null, 0.6)).toBe("");
});
