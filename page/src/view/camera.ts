// Which part of the image is seen, and how large.

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const MOST_ZOOM = 40;

/** Maps points of the image, x along columns and y along rows, to points of a view of `size` screen pixels. */
export class Camera {
  zoom = 1; // 1 shows the whole image
  private centre: [number, number];
  size: readonly [number, number] = [1, 1];

  /** aspect: how much wider a pixel is than high. */
  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly aspect: number,
  ) {
    this.centre = [width / 2, height / 2];
  }

  private get scale(): [number, number] {
    const whole = Math.min(this.size[0] / (this.width * this.aspect), this.size[1] / this.height);
    return [whole * this.zoom * this.aspect, whole * this.zoom];
  }

  /** a, b, c, d, e, f of the transformation matrix of a canvas. */
  get matrix(): [number, number, number, number, number, number] {
    const [sx, sy] = this.scale;
    return [sx, 0, 0, sy, this.size[0] / 2 - sx * this.centre[0], this.size[1] / 2 - sy * this.centre[1]];
  }

  toImage(x: number, y: number): [number, number] {
    const [sx, , , sy, e, f] = this.matrix;
    return [(x - e) / sx, (y - f) / sy];
  }

  toScreen(x: number, y: number): [number, number] {
    const [sx, , , sy, e, f] = this.matrix;
    return [sx * x + e, sy * y + f];
  }

  /** Moves the image by screen pixels. */
  pan(dx: number, dy: number): void {
    const [sx, sy] = this.scale;
    this.centreAt(this.centre[0] - dx / sx, this.centre[1] - dy / sy);
  }

  /** Zooms by a factor around a point of the screen, which stays where it is. */
  zoomBy(factor: number, x = this.size[0] / 2, y = this.size[1] / 2): void {
    const [fixedX, fixedY] = this.toImage(x, y);
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const [movedX, movedY] = this.toImage(x, y);
    this.centreAt(this.centre[0] + fixedX - movedX, this.centre[1] + fixedY - movedY);
  }

  showAll(): void {
    this.zoom = 1;
    this.centreAt(this.width / 2, this.height / 2);
  }

  showBox({ left, top, right, bottom }: Box): void {
    this.zoom = 1;
    const [sx, sy] = this.scale;
    const fitting = Math.min(this.size[0] / (sx * (right - left)), this.size[1] / (sy * (bottom - top)));
    this.zoom = Math.min(Math.max(fitting, 1), MOST_ZOOM);
    this.centreAt((left + right) / 2, (top + bottom) / 2);
  }

  private centreAt(x: number, y: number): void {
    const [sx, sy] = this.scale;
    const within = (at: number, length: number, seen: number) =>
      seen >= length ? length / 2 : Math.min(Math.max(at, seen / 2), length - seen / 2);
    this.centre = [within(x, this.width, this.size[0] / sx), within(y, this.height, this.size[1] / sy)];
  }
}

/** The pixels of a mask in a box with a margin around them; null for an empty mask. */
export function boxOf(mask: ArrayLike<number>, width: number, height: number, margin: number): Box | null {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let p = 0; p < mask.length; p++) {
    if (!mask[p]) continue;
    const [column, row] = [p % width, Math.floor(p / width)];
    [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
    [top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)];
  }
  if (right <= left) return null;
  const around = margin * Math.max(right - left, bottom - top, 8);
  return {
    left: Math.max(0, left - around),
    top: Math.max(0, top - around),
    right: Math.min(width, right + around),
    bottom: Math.min(height, bottom + around),
  };
}
