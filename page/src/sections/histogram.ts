// Bars of a measure with a threshold line, which mouse, finger and keyboard move.
import { bars } from "../data/statistics";
import { onWidth, text, ticks } from "../view/chart";
import { el, svg } from "../view/dom";
import { number, withUnit } from "../view/words";

export interface Shown {
  name: string;
  unit: string;
  values: Float32Array; // those that are kept and have a value
  range: readonly [number, number]; // of the axis
  middle: readonly [number, number, number] | null; // quantiles at 5, 50 and 95 %
  few: boolean; // too few values for the quantiles at 5 and 95 %
  threshold: number;
}

const HEIGHT = 190;
const EDGE = { left: 8, right: 8, top: 26, bottom: 40 };
const PARTS = 30;

export class Histogram {
  readonly element = el("div", { class: "chart" });
  private width = 0;
  private shown: Shown | null = null;
  private readonly line = svg("g", {
    class: "threshold",
    tabindex: 0,
    role: "slider",
    "aria-orientation": "horizontal",
  });
  private readonly picture = svg("svg", { height: HEIGHT });

  /** moved: takes the new threshold. */
  constructor(private readonly moved: (threshold: number) => void) {
    this.element.append(this.picture);
    onWidth(this.element, (width) => {
      this.width = width;
      this.draw();
    });
    this.picture.addEventListener("pointerdown", (event) => {
      this.picture.setPointerCapture(event.pointerId);
      this.drag(event);
      this.line.focus({ preventScroll: true });
    });
    this.picture.addEventListener("pointermove", (event) => {
      if (event.buttons) this.drag(event);
    });
    this.line.addEventListener("keydown", (event) => {
      this.press(event);
    });
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.draw();
  }

  private x(value: number): number {
    const [low, high] = this.shown!.range;
    return EDGE.left + ((value - low) / (high - low)) * (this.width - EDGE.left - EDGE.right);
  }

  private drag(event: PointerEvent): void {
    const [low, high] = this.shown!.range;
    const at = event.clientX - this.picture.getBoundingClientRect().left - EDGE.left;
    this.move(low + (at / (this.width - EDGE.left - EDGE.right)) * (high - low));
  }

  private move(threshold: number): void {
    const [low, high] = this.shown!.range;
    const step = (high - low) / 200;
    this.moved(Math.min(high, Math.max(low, Number((Math.round(threshold / step) * step).toPrecision(4)))));
  }

  private press(event: KeyboardEvent): void {
    const {
      range: [low, high],
      threshold,
    } = this.shown!;
    const step = (high - low) / 200;
    const target = {
      ArrowLeft: threshold - step,
      ArrowDown: threshold - step,
      ArrowRight: threshold + step,
      ArrowUp: threshold + step,
      PageDown: threshold - 10 * step,
      PageUp: threshold + 10 * step,
      Home: low,
      End: high,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.move(target);
  }

  private draw(): void {
    if (!this.shown || this.width === 0) return;
    const {
      name,
      unit,
      values,
      range: [low, high],
      middle,
      few,
      threshold,
    } = this.shown;
    const floor = HEIGHT - EDGE.bottom;
    const { counts } = bars(values, low, high, PARTS);
    const tallest = Math.max(1, ...counts);
    const each = (this.width - EDGE.left - EDGE.right) / PARTS;
    this.picture.setAttribute("width", String(this.width));
    const rectangles = counts.map((count, i) => {
      const height = (count / tallest) * (floor - EDGE.top);
      const above = low + ((i + 0.5) / PARTS) * (high - low) >= threshold;
      return svg("rect", {
        class: above ? "above" : "below",
        x: EDGE.left + i * each + 0.5,
        y: floor - height,
        width: Math.max(each - 1, 1),
        height,
      });
    });
    const axis = ticks(low, high, Math.max(3, Math.floor(this.width / 80))).flatMap((value) => [
      svg("line", { class: "axis", x1: this.x(value), x2: this.x(value), y1: floor, y2: floor + 4 }),
      text(this.x(value), floor + 17, number(value)),
    ]);
    const span = middle
      ? [
          !few && svg("line", { class: "span", x1: this.x(middle[0]), x2: this.x(middle[2]), y1: 10, y2: 10 }),
          svg("circle", { class: "median", cx: this.x(middle[1]), cy: 10, r: 5 }),
        ].filter((one) => one !== false)
      : [];
    const at = this.x(Math.min(high, Math.max(low, threshold))); // a typed one may be beyond the axis
    this.line.replaceChildren(
      svg("line", { x1: at, x2: at, y1: 2, y2: floor + 4 }),
      svg("path", { d: `M${at - 8} ${floor + 6}h16l-8 -10z` }),
      svg("rect", { class: "grip", x: at - 14, y: 0, width: 28, height: floor + 10 }),
    );
    for (const [key, value] of Object.entries({
      label: `Threshold of the ${name}`,
      valuemin: low,
      valuemax: high,
      valuenow: threshold,
      valuetext: withUnit(threshold, unit),
    })) {
      this.line.setAttribute(`aria-${key}`, String(value));
    }
    const base = svg("line", { class: "axis", x1: EDGE.left, x2: this.width - EDGE.right, y1: floor, y2: floor });
    const title = text(this.width / 2, HEIGHT - 5, unit ? `${name} (${unit})` : name);
    if (this.line.parentNode !== this.picture) this.picture.append(this.line);
    for (const child of [...this.picture.children]) if (child !== this.line) child.remove();
    this.line.before(...rectangles, base, ...axis, title, ...span);
  }
}
