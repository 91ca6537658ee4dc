// Drawing outlines on a canvas.
import { outline, type Loop } from "../data/outline";
import type { Camera } from "./camera";
import type { Overlay } from "./overlays";
import type { Line } from "./palette";

const RIM = "rgba(0, 0, 0, 0.55)";

export function strokeOverlay(
  context: CanvasRenderingContext2D,
  camera: Camera,
  width: number,
  { mask, line, mark }: Overlay,
): void {
  const loops = outline(mask, width);
  const path = new Path2D();
  for (const loop of loops) addLoop(path, camera, loop);
  stroke(context, path, line);
  const longest = loops.reduce<Loop | null>((best, loop) => (loop.length > (best?.length ?? 0) ? loop : best), null);
  if (mark && longest) letter(context, camera, longest, mark, line.colour);
}

export function stroke(context: CanvasRenderingContext2D, path: Path2D, { colour, dash, width }: Line): void {
  context.lineJoin = "round";
  context.setLineDash(dash);
  context.strokeStyle = RIM;
  context.lineWidth = width + 2;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
  context.setLineDash([]);
}

function addLoop(path: Path2D, camera: Camera, loop: Loop): void {
  const [sx, , , sy, e, f] = camera.matrix;
  path.moveTo(sx * loop[0] + e, sy * loop[1] + f);
  for (let i = 2; i < loop.length; i += 2) path.lineTo(sx * loop[i] + e, sy * loop[i + 1] + f);
  path.closePath();
}

/** The letter of a mode, at the outline's corner that lies farthest in a direction of its own. */
function letter(context: CanvasRenderingContext2D, camera: Camera, loop: Loop, mark: string, colour: string): void {
  const angle = -Math.PI / 2 + (mark.charCodeAt(0) - 65) * 1.25;
  const [ux, uy] = [Math.cos(angle), Math.sin(angle)];
  let best = 0;
  for (let i = 2; i < loop.length; i += 2) {
    if (loop[i] * ux + loop[i + 1] * uy > loop[best] * ux + loop[best + 1] * uy) best = i;
  }
  const [x, y] = camera.toScreen(loop[best], loop[best + 1]);
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4;
  context.strokeStyle = RIM;
  context.strokeText(mark, x + 10 * ux, y + 10 * uy);
  context.fillStyle = colour;
  context.fillText(mark, x + 10 * ux, y + 10 * uy);
}
