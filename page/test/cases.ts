// Small cases, packed as Python packs them.
import type { Case, Packed } from "../src/case";

type Dtype = Packed["dtype"];
const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
};

export function pack(dtype: Exclude<Dtype, "bits">, shape: number[], values: ArrayLike<number>): Packed {
  return { dtype, shape, data: zlibBase64(new Uint8Array(ARRAYS[dtype].from(values).buffer)) };
}

/** shape: (..., width); values: 0 or 1 each. */
export function packBits(shape: number[], values: ArrayLike<number>): Packed {
  const width = shape.at(-1) ?? 1;
  const rows = values.length / width;
  const rowBytes = Math.ceil(width / 8);
  const bytes = new Uint8Array(rows * rowBytes);
  for (let i = 0; i < values.length; i++) {
    if (values[i]) bytes[Math.floor(i / width) * rowBytes + ((i % width) >> 3)] |= 1 << ((i % width) & 7);
  }
  return { dtype: "bits", shape, data: zlibBase64(bytes) };
}

/** A zlib stream (RFC 1950) of one block that is not compressed, in base64. */
function zlibBase64(bytes: Uint8Array): string {
  if (bytes.length > 0xffff) throw new Error(`bytes: got ${bytes.length}, expected at most 65535`);
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  const length = [bytes.length & 255, bytes.length >> 8];
  const stream = [
    0x78,
    0x01,
    1,
    ...length,
    ...length.map((byte) => byte ^ 255),
    ...bytes,
    high >> 8,
    high & 255,
    low >> 8,
    low & 255,
  ];
  return btoa(String.fromCharCode(...stream));
}

export const HEIGHT = 6;
export const WIDTH = 10;
export const N = 8;

/** A mask of `columns` columns from column 2 on, in rows 1 to 4. */
export function bar(columns: number): number[] {
  return Array.from({ length: HEIGHT * WIDTH }, (_, p) => {
    const [row, column] = [Math.floor(p / WIDTH), p % WIDTH];
    return row >= 1 && row < 5 && column >= 2 && column < 2 + columns ? 1 : 0;
  });
}

/** Columns of each hypothesis: two of them are empty, four are small, two are large. */
export const COLUMNS = [0, 2, 2, 3, 3, 6, 6, 0];
const MEMBERS = [1, 0, 0, 0, 0, 2, 2, 1];

/** A binary case with a decoder whose only latent moves the right end of a bar. */
export function binaryCase(changes: Partial<Case> = {}): Case {
  const areas = COLUMNS.map((columns) => 4 * columns);
  const base = Array.from({ length: HEIGHT * WIDTH }, (_, p) => (bar(9)[p] ? 10 - (p % WIDTH) : 0));
  return {
    version: 1,
    title: "scan",
    source: "scan.nii",
    model: {
      name: "model",
      method: "Probabilistic U-Net",
      calibration: {
        sentences: ["It holds."],
        presence: { count: [5, 5], predicted: [0.2, 0.8], observed: [0.1, 0.9] },
        pixels: null,
        volume: null,
      },
      familiarity: { level: "unusual", sentence: "It is dark.", how: "By its mean." },
    },
    image: {
      height: HEIGHT,
      width: WIDTH,
      channels: 1,
      pixels: pack("int16", [HEIGHT, WIDTH], base),
      unit: "HU",
      window: [0, 10],
      spacing: [0.5, 0.5],
    },
    classes: ["background", "foreground"],
    hypotheses: { n: N, seed: 3, labels: packBits([N, HEIGHT, WIDTH], COLUMNS.flatMap(bar)), z: null },
    alternatives: [
      {
        label: 1,
        modes: [
          { probability: 0.5, interval: [0.2, 0.8], hypothesis: 1, name: "8 pixels" },
          { probability: 0.25, interval: [0.1, 0.6], hypothesis: 0, name: "nothing" },
          { probability: 0.25, interval: [0.1, 0.6], hypothesis: 5, name: "24 pixels" },
        ],
        members: pack("uint8", [N], MEMBERS),
        measures: [
          {
            name: "area",
            unit: "mm²",
            values: pack(
              "float32",
              [N],
              areas.map((area) => area / 4),
            ),
          },
          {
            name: "longest diameter",
            unit: "mm",
            values: pack(
              "float32",
              [N],
              areas.map((area) => (area ? area / 2 : NaN)),
            ),
          },
        ],
      },
    ],
    annotations: [
      { name: "ann", labels: packBits([HEIGHT, WIDTH], bar(3)), position: [1, 0], logLikelihood: "Quite likely." },
    ],
    pad: {
      origin: pack("float32", [2], [0, 0]),
      axes: pack("float32", [2, 2], [1, 0, 0, 1]),
      reach: 3,
      hypotheses: pack(
        "float32",
        [N, 2],
        Array.from({ length: 2 * N }, (_, i) => i / N),
      ),
      decoder: {
        base: pack("float32", [HEIGHT, WIDTH, 1], base),
        zWeight: pack("float32", [1, 2], [1, 0]),
        layers: [{ weight: pack("float32", [1, 1], [1]), bias: pack("float32", [1], [-4.5]) }],
        map: null,
        place: { row: 0, column: 0, height: HEIGHT, width: WIDTH, resample: null },
      },
    },
    padMissing: null,
    exports: {
      nifti: pack(
        "uint8",
        [352],
        Array.from({ length: 352 }, (_, i) => i % 7),
      ),
      seg: null,
    },
    notes: [],
    made: { version: "1.2.3", date: "2026-01-01", command: "fastpunet report" },
    ...changes,
  };
}

/** Three hypotheses of three classes: class 1 is in all of them, class 2 in the last one alone. */
export function classesCase(): Case {
  const labels = [bar(2), bar(3), bar(6).map((inside, p) => (inside && p % WIDTH > 4 ? 2 : inside))];
  const mode = (name: string, hypothesis: number) => ({
    probability: 1,
    interval: [0.4, 1] as [number, number],
    hypothesis,
    name,
  });
  const members = pack("uint8", [3], [0, 0, 0]);
  return binaryCase({
    classes: ["background", "road", "car"],
    hypotheses: { n: 3, seed: 0, labels: pack("uint8", [3, HEIGHT, WIDTH], labels.flat()), z: null },
    alternatives: [
      { label: 1, modes: [mode("8 pixels", 0)], members, measures: [] },
      { label: 2, modes: [mode("nothing", 0)], members, measures: [] },
    ],
    annotations: [
      {
        name: "ann",
        labels: pack(
          "uint8",
          [HEIGHT, WIDTH],
          bar(3).map((inside, p) => (p < WIDTH ? 255 : inside)),
        ),
        position: null,
        logLikelihood: null,
      },
    ],
    pad: null,
    padMissing: "This method has no latent.",
  });
}
