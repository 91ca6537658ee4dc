// The image with its outlines on a canvas.
import type { Session } from "../state/session";
import { boxOf, Camera } from "./camera";
import { eachFrame, el } from "./dom";
import { overlays } from "./overlays";
import { LINES } from "./palette";
import { paintHeat, paintImage, Raster } from "./raster";
import { stroke, strokeOverlay } from "./strokes";

const FAINT = 0.3; // opacity of the other lines while one is being changed

export class Viewer {
  readonly canvas: HTMLCanvasElement;
  readonly camera: Camera;
  /** The pixel under the pointer or the keyboard's cross, and whether it is shown. */
  cursor: { row: number; column: number; shown: boolean };
  /** A line that is being drawn, x and y of its corners in the image. */
  drawing: number[] = [];
  readonly redraw = eachFrame(() => {
    this.paint();
  });
  private sized = false;
  private readonly image: Raster;
  private readonly heat: Raster;

  constructor(
    private readonly session: Session,
    description: string,
  ) {
    const { width, height, facts } = session.study;
    const { spacing } = facts.image;
    this.camera = new Camera(width, height, spacing ? spacing[1] / spacing[0] : 1);
    this.cursor = { row: Math.floor(height / 2), column: Math.floor(width / 2), shown: false };
    this.image = new Raster(width, height);
    this.heat = new Raster(width, height);
    this.canvas = el("canvas", {
      class: "view",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "image with outlines",
      "aria-label": `Image ${facts.title}. Arrow keys move a cross from pixel to pixel, Enter uses the chosen tool.`,
      "aria-describedby": description,
    });
    new ResizeObserver(() => {
      this.resize();
    }).observe(this.canvas);
    const { store } = session;
    store.watch(["window"], () => {
      paintImage(this.image, session.study, session.now.window);
      this.redraw();
    });
    store.watch(["found", "heat"], () => {
      if (session.now.heat !== "none") paintHeat(this.heat, session.now.found, session.now.heat);
      this.redraw();
    });
    store.watch(
      ["layers", "hiddenModes", "focus", "explored", "compared", "edited", "conditions", "probed", "tool", "brush"],
      this.redraw,
    );
  }

  /** Zooms to what is outlined in at least one hypothesis in twenty, or to the whole image if nothing is. */
  showOutlines(): void {
    const { width, height } = this.session.study;
    const box = boxOf(this.session.now.found.outer, width, height, 0.6);
    if (box) this.camera.showBox(box);
    else this.camera.showAll();
    this.redraw();
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (clientWidth === 0 || clientHeight === 0) return;
    const dense = window.devicePixelRatio || 1;
    const first = !this.sized;
    this.sized = true;
    [this.canvas.width, this.canvas.height] = [Math.round(clientWidth * dense), Math.round(clientHeight * dense)];
    this.camera.size = [clientWidth, clientHeight];
    if (first) this.showOutlines();
    this.camera.pan(0, 0);
    this.paint();
  }

  private paint(): void {
    const context = this.canvas.getContext("2d");
    if (!context || !this.sized) return;
    const dense = this.canvas.width / this.camera.size[0];
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, ...this.camera.size);
    context.save();
    context.transform(...this.camera.matrix);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image.canvas, 0, 0);
    if (this.session.now.heat !== "none") context.drawImage(this.heat.canvas, 0, 0);
    context.restore();
    const { focus } = this.session.now;
    for (const overlay of overlays(this.session)) {
      context.globalAlpha = focus === null || focus === overlay.layer ? 1 : FAINT;
      strokeOverlay(context, this.camera, this.session.study.width, overlay);
    }
    context.globalAlpha = 1;
    this.paintConditions(context);
    this.paintDrawing(context);
    this.paintCursor(context);
  }

  /** A plus or a minus on every pixel that was included or excluded. */
  private paintConditions(context: CanvasRenderingContext2D): void {
    for (const { row, column, inside } of this.session.now.conditions) {
      const [x, y] = this.camera.toScreen(column + 0.5, row + 0.5);
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      context.fillStyle = "rgba(0, 0, 0, 0.65)";
      context.fill();
      const sign = new Path2D();
      sign.moveTo(x - 4, y);
      sign.lineTo(x + 4, y);
      if (inside) {
        sign.moveTo(x, y - 4);
        sign.lineTo(x, y + 4);
      }
      context.strokeStyle = "#ffffff";
      context.lineWidth = 2;
      context.stroke(sign);
    }
  }

  private paintDrawing(context: CanvasRenderingContext2D): void {
    if (this.drawing.length === 0) return;
    const path = new Path2D();
    for (let i = 0; i < this.drawing.length; i += 2)
      path.lineTo(...this.camera.toScreen(this.drawing[i], this.drawing[i + 1]));
    stroke(context, path, LINES.compared);
  }

  private paintCursor(context: CanvasRenderingContext2D): void {
    const { tool, brush, probed } = this.session.now;
    const { width } = this.session.study;
    if (probed !== null) this.paintPixel(context, Math.floor(probed / width), probed % width);
    if (!this.cursor.shown) return;
    const { row, column } = this.cursor;
    if (tool === "add" || tool === "erase") {
      const [x, y] = this.camera.toScreen(column + 0.5, row + 0.5);
      const [sx, , , sy] = this.camera.matrix;
      const circle = new Path2D();
      circle.ellipse(x, y, (sx * Math.max(brush, 1)) / 2, (sy * Math.max(brush, 1)) / 2, 0, 0, 2 * Math.PI);
      stroke(context, circle, { colour: "#ffffff", dash: tool === "add" ? [] : [3, 3], width: 1 });
    } else {
      this.paintPixel(context, row, column);
    }
  }

  private paintPixel(context: CanvasRenderingContext2D, row: number, column: number): void {
    const [left, top] = this.camera.toScreen(column, row);
    const [right, bottom] = this.camera.toScreen(column + 1, row + 1);
    const square = new Path2D();
    square.rect(left, top, right - left, bottom - top);
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ] as const) {
      square.moveTo(x + dx * ((right - left) / 2 + 2), y + dy * ((bottom - top) / 2 + 2));
      square.lineTo(x + dx * ((right - left) / 2 + 9), y + dy * ((bottom - top) / 2 + 9));
    }
    stroke(context, square, { colour: "#ffffff", dash: [], width: 1 });
  }
}
