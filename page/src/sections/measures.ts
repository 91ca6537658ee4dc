import { quantile, wilson } from "../data/statistics";
import type { MeasureValues } from "../data/study";
import type { Session } from "../state/session";
import { el, newId, section } from "../view/dom";
import { counting, rough, tooFew } from "../view/verdict";
import { count, interval, percent, withUnit } from "../view/words";
import { Histogram } from "./histogram";

/** How large it is, as a distribution, and how probably larger than a threshold. */
export function measuresSection(session: Session): HTMLElement | null {
  const names = session.study.classes[0].measures.map(({ name }) => name);
  if (names.length === 0) return null;
  const thresholds = new Map<string, number>();
  let chosen = 0;
  const threshold = el("input", {
    type: "number",
    class: "number",
    step: "any",
    input: () => {
      setThreshold(threshold.value.trim() === "" ? NaN : Number(threshold.value));
    },
  });
  const unit = el("span");
  const answer = el("p", { class: "answer", "aria-live": "polite" });
  const summary = el("p");
  const histogram = new Histogram((value) => {
    threshold.value = String(value);
    setThreshold(value);
  });

  const measure = (): MeasureValues => session.now.found.of.measures[chosen];
  const setThreshold = (value: number): void => {
    if (!Number.isFinite(value) || value < 0) {
      answer.textContent = "Type a threshold of 0 or more.";
      return;
    }
    thresholds.set(key(), value);
    show();
  };
  const key = () => `${session.label} ${chosen}`;

  const show = (): void => {
    const { kept, of, present } = session.now.found;
    const { name, unit: measured, values } = measure();
    const marked = Float32Array.from(
      kept.filter((k) => of.planes.areas[k] > 0),
      (k) => values[k],
    )
      .filter((value) => !Number.isNaN(value))
      .sort();
    const range = axisOf(values);
    const limit = thresholds.get(key()) ?? Number((marked.length ? quantile(marked, 0.5) : range[0]).toPrecision(2));
    thresholds.set(key(), limit);
    const many = kept.reduce((sum, k) => sum + (values[k] >= limit ? 1 : 0), 0);
    const middle = marked.length
      ? ([quantile(marked, 0.05), quantile(marked, 0.5), quantile(marked, 0.95)] as const)
      : null;
    unit.textContent = measured;
    if (document.activeElement !== threshold) threshold.value = String(limit);
    answer.replaceChildren(
      el("strong", {}, percent(many / kept.length)),
      ` (${interval(wilson(many, kept.length))}) of ${counting(session)} have ${article(name)} of at least ${`${limit} ${measured}`.trim()}.${rough(kept.length)}`,
    );
    summary.textContent = middle
      ? `Of the ${count(present, "outline")} that mark anything, half have ${article(name)} above ${withUnit(middle[1], measured)}` +
        (tooFew(marked.length)
          ? ` (dot on top of the chart).`
          : `, and nine in ten lie between ${withUnit(middle[0], measured)} and ${withUnit(middle[2], measured)} (dot and bar on top of the chart).`)
      : "No outline marks anything.";
    histogram.show({
      name,
      unit: measured,
      values: marked,
      range,
      middle,
      few: tooFew(marked.length),
      threshold: limit,
    });
  };
  session.store.watch(["found", "conditions"], show);

  const group = newId("measure");
  const choices = names.map((name, i) => {
    const radio = el("input", {
      type: "radio",
      name: group,
      class: "visually-hidden",
      change: () => {
        chosen = i;
        show();
      },
    });
    radio.checked = i === 0;
    return el("label", { class: "segment" }, radio, el("span", {}, name));
  });
  return section(
    "How large may it be?",
    "size",
    el("fieldset", { class: "segments" }, el("legend", { class: "visually-hidden" }, "Measure"), ...choices),
    summary,
    histogram.element,
    el("label", { class: "inline" }, "Threshold (drag the line, or type) ", threshold, " ", unit),
    answer,
  );
}

/** Both ends of the axis: those of all hypotheses, so that it stays as it is when some are left out. */
function axisOf(values: Float32Array): [number, number] {
  const finite = values.filter(Number.isFinite);
  const high = finite.reduce((most, value) => Math.max(most, value), -Infinity);
  const low = finite.reduce((least, value) => Math.min(least, value), Infinity);
  if (finite.length === 0) return [0, 1];
  const start = low >= 0 && low < high / 2 ? 0 : low;
  return [start, high > start ? high : start + 1];
}

function article(name: string): string {
  return /^[aeiou]/i.test(name) ? `an ${name}` : `a ${name}`;
}
