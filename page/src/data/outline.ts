// The outline of a mask, as closed lines through the middles of the edges between pixels inside and outside: the contour
// at level 0.5, on which diameters are measured.

/** A closed line, x and y of its corners one after another; pixel (row, column) is the square from (column, row) to
 *  (column + 1, row + 1). */
export type Loop = Float32Array;

const known = new WeakMap<Uint8Array, Loop[]>();

/** The outline of the pixels that are not 0. The loops of a mask are remembered. */
export function outline(mask: Uint8Array, width: number): Loop[] {
  let loops = known.get(mask);
  if (!loops) {
    loops = traced(mask, width);
    known.set(mask, loops);
  }
  return loops;
}

// Directions along the corners of pixels, with the inside to the right: east, south, west, north.
const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
] as const;

function traced(mask: Uint8Array, width: number): Loop[] {
  const height = mask.length / width;
  const inside = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] !== 0;
  const loops: Loop[] = [];
  const seen = new Uint8Array(mask.length); // pixels whose upper edge has been walked
  for (let start = 0; start < mask.length; start++) {
    const [startX, startY] = [start % width, Math.floor(start / width)];
    if (mask[start] === 0 || seen[start] || inside(startX, startY - 1)) continue;
    let [x, y, direction] = [startX, startY, 0];
    const points: number[] = [];
    do {
      const [dx, dy] = STEPS[direction];
      if (direction === 0) seen[y * width + x] = 1;
      points.push(x + dx / 2, y + dy / 2);
      [x, y] = [x + dx, y + dy];
      direction = turned(inside, x, y, direction);
    } while (x !== startX || y !== startY || direction !== 0);
    loops.push(Float32Array.from(points));
  }
  return loops;
}

/** Where to go on at corner (x, y): pixels that touch at a corner only are apart. */
function turned(inside: (x: number, y: number) => boolean, x: number, y: number, direction: number): number {
  const [dx, dy] = STEPS[direction];
  const ahead = (side: number) => inside(x + (dx + side * -dy - 1) / 2, y + (dy + side * dx - 1) / 2);
  if (!ahead(1)) return (direction + 1) % 4;
  return ahead(-1) ? (direction + 3) % 4 : direction;
}
