// Mouse, pen, fingers and wheel on the image.
import type { Session } from "../state/session";
import { paint, sayEdited, useAt, type Point } from "./tools";
import type { Viewer } from "./viewer";

const CLICK_REACH = 5; // screen pixels that a click may move
const WINDOW_SPEED = 1 / 300; // of the window's range, a screen pixel

export function listenToPointers(session: Session, viewer: Viewer): void {
  new Pointing(session, viewer);
}

class Pointing {
  private readonly fingers = new Map<number, Point>();
  private last: Point = [0, 0];
  private moved = 0;
  private doing: "nothing" | "tool" | "window" | "pinch" = "nothing";

  constructor(
    private readonly session: Session,
    private readonly viewer: Viewer,
  ) {
    const { canvas } = viewer;
    canvas.addEventListener("pointerdown", (event) => {
      this.down(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.move(event);
    });
    canvas.addEventListener("pointerup", (event) => {
      this.up(event);
    });
    canvas.addEventListener("pointercancel", (event) => {
      this.cancel(event);
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover(null);
    });
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        this.wheel(event);
      },
      { passive: false },
    );
    session.store.watch(["tool"], () => {
      this.allowScrolling();
    });
  }

  private at(event: MouseEvent): Point {
    const { left, top } = this.viewer.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /** A finger on an image that is seen whole scrolls the page, unless a tool needs it. */
  private allowScrolling(): void {
    const free = this.session.now.tool === "look" && this.viewer.camera.zoom === 1;
    this.viewer.canvas.style.touchAction = free ? "pan-y" : "none";
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.viewer.camera.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 0 ? 0.002 : 0.06)), ...this.at(event));
    this.allowScrolling();
    this.viewer.redraw();
  }

  private down(event: PointerEvent): void {
    const point = this.at(event);
    this.viewer.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, point);
    [this.last, this.moved] = [point, 0];
    if (this.fingers.size > 1) {
      this.doing = "pinch";
      this.viewer.drawing = [];
      return;
    }
    this.doing = event.button === 2 || event.shiftKey ? "window" : "tool";
    const { tool } = this.session.now;
    if (this.doing === "tool" && (tool === "add" || tool === "erase")) {
      this.session.store.set({ focus: "edited" });
      this.brushTo(point, false);
    }
    if (this.doing === "tool" && tool === "draw") {
      this.session.say("");
      this.viewer.drawing = [...this.viewer.camera.toImage(...point)];
    }
  }

  private move(event: PointerEvent): void {
    const point = this.at(event);
    const before = this.fingers.get(event.pointerId);
    if (!before) {
      this.hover(point);
      return;
    }
    const [dx, dy] = [point[0] - before[0], point[1] - before[1]];
    this.moved += Math.hypot(dx, dy);
    if (this.doing === "pinch") this.pinch(event.pointerId, before, point);
    else if (this.doing === "window") this.changeWindow(dx, dy);
    else if (this.doing === "tool") this.drag(point, dx, dy);
    this.fingers.set(event.pointerId, point);
    this.last = point;
  }

  private drag(point: Point, dx: number, dy: number): void {
    const { tool } = this.session.now;
    const { viewer } = this;
    if (tool === "add" || tool === "erase") this.brushTo(point, true);
    else if (tool === "draw") viewer.drawing.push(...viewer.camera.toImage(...point));
    else viewer.camera.pan(dx, dy);
    this.hover(point);
  }

  private up(event: PointerEvent): void {
    const clicked = this.doing === "tool" && this.moved < CLICK_REACH;
    const { tool } = this.session.now;
    if (this.doing === "tool" && tool === "draw") this.finishDrawing();
    else if (this.doing === "tool" && (tool === "add" || tool === "erase")) sayEdited(this.session);
    else if (clicked && tool !== "add" && tool !== "erase") this.click(this.at(event));
    this.cancel(event);
  }

  private cancel(event: PointerEvent): void {
    this.fingers.delete(event.pointerId);
    if (this.fingers.size === 0) {
      this.doing = "nothing";
      this.session.store.set({ focus: null });
    }
    this.allowScrolling();
  }

  private finishDrawing(): void {
    const points = this.viewer.drawing;
    this.viewer.drawing = [];
    this.viewer.redraw();
    this.session.draw(points);
  }

  private pinch(finger: number, before: Point, after: Point): void {
    const other = [...this.fingers].find(([id]) => id !== finger)?.[1];
    if (!other) return;
    const distance = (a: Point) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
    this.viewer.camera.zoomBy(distance(after) / distance(before), (after[0] + other[0]) / 2, (after[1] + other[1]) / 2);
    this.viewer.camera.pan((after[0] - before[0]) / 2, (after[1] - before[1]) / 2);
    this.viewer.redraw();
  }

  private changeWindow(dx: number, dy: number): void {
    const [low, high] = this.session.now.window;
    const [start, end] = this.session.study.facts.image.window;
    const unit = (end - start) * WINDOW_SPEED;
    const level = (low + high) / 2 - dy * unit;
    const half = Math.max((high - low) / 2 + dx * unit, Math.abs(unit));
    this.session.store.set({ window: [level - half, level + half] });
  }

  private pixelAt(point: Point): [number, number] | null {
    const [x, y] = this.viewer.camera.toImage(...point);
    const { width, height } = this.session.study;
    return x >= 0 && y >= 0 && x < width && y < height ? [Math.floor(y), Math.floor(x)] : null;
  }

  private click(point: Point): void {
    const pixel = this.pixelAt(point);
    if (pixel) useAt(this.session, ...pixel);
  }

  private brushTo(point: Point, goesOn: boolean): void {
    const { camera } = this.viewer;
    if (!this.session.now.edited) this.session.say("Pick an outline to edit first.");
    paint(this.session, camera.toImage(...(goesOn ? this.last : point)), camera.toImage(...point), goesOn);
  }

  private hover(point: Point | null): void {
    const pixel = point && this.pixelAt(point);
    const { cursor } = this.viewer;
    this.viewer.cursor = pixel ? { row: pixel[0], column: pixel[1], shown: true } : { ...cursor, shown: false };
    this.viewer.redraw();
  }
}
