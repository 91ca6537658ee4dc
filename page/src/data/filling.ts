// Pixels inside a line, and pixels under a brush.

/** The pixels whose centres lie within a closed line (even-odd rule); x and y of its corners one after another. */
export function filled(points: readonly number[], height: number, width: number): Uint8Array {
  const mask = new Uint8Array(height * width);
  for (let row = 0; row < height; row++) {
    const y = row + 0.5;
    const crossings: number[] = [];
    for (let i = 0; i < points.length; i += 2) {
      const j = (i + 2) % points.length;
      const [x0, y0, x1, y1] = [points[i], points[i + 1], points[j], points[j + 1]];
      if (y0 <= y !== y1 <= y) crossings.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
    }
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const last = Math.min(width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1);
      for (let column = first; column <= last; column++) mask[row * width + column] = 1;
    }
  }
  return mask;
}

/** Labels the pixels whose centres are within the diameter's half of the line from one point to another. */
export function brush(
  labels: Uint8Array,
  width: number,
  from: readonly [number, number],
  to: readonly [number, number],
  diameter: number,
  label: (before: number) => number,
): void {
  const height = labels.length / width;
  const radius = diameter / 2;
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const square = dx * dx + dy * dy;
  const rows = [Math.min(from[1], to[1]) - radius, Math.max(from[1], to[1]) + radius] as const;
  const columns = [Math.min(from[0], to[0]) - radius, Math.max(from[0], to[0]) + radius] as const;
  for (let row = Math.max(0, Math.floor(rows[0])); row <= Math.min(height - 1, rows[1]); row++) {
    for (let column = Math.max(0, Math.floor(columns[0])); column <= Math.min(width - 1, columns[1]); column++) {
      const [x, y] = [column + 0.5 - from[0], row + 0.5 - from[1]];
      const along = square > 0 ? Math.min(1, Math.max(0, (x * dx + y * dy) / square)) : 0;
      if (Math.hypot(x - along * dx, y - along * dy) > Math.max(radius, 0.5)) continue;
      const at = row * width + column;
      labels[at] = label(labels[at]);
    }
  }
}
