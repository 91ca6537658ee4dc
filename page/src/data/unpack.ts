// Arrays of numbers from their packed form.
import type { Packed } from "../case";

type Dtype = Packed["dtype"];
export type Numbers = Float32Array | Uint8Array | Uint16Array | Int16Array | Int32Array;

const READERS: Record<Exclude<Dtype, "bits">, (buffer: ArrayBuffer) => Numbers> = {
  float32: (buffer) => new Float32Array(buffer),
  float16: (buffer) => Float32Array.from(new Uint16Array(buffer), halfToFloat),
  uint8: (buffer) => new Uint8Array(buffer),
  uint16: (buffer) => new Uint16Array(buffer),
  int16: (buffer) => new Int16Array(buffer),
  int32: (buffer) => new Int32Array(buffer),
};

/** The values in C order; of "bits", a byte of 0 or 1 for each. */
export async function unpack(packed: Packed): Promise<Numbers> {
  if (packed.dtype === "bits") return spread(await unpackBits(packed), packed.shape);
  const values = READERS[packed.dtype](await inflated(packed.data));
  const expected = packed.shape.reduce((product, side) => product * side, 1);
  if (values.length !== expected) throw new Error(`page data: got ${values.length} values, expected ${expected}`);
  return values;
}

export async function unpackFloats(packed: Packed): Promise<Float32Array> {
  const values = await unpack(packed);
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

export async function unpackBytes(packed: Packed): Promise<Uint8Array> {
  const values = await unpack(packed);
  return values instanceof Uint8Array ? values : Uint8Array.from(values);
}

async function inflated(base64: string): Promise<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** The bytes of "bits", rows of ceil(width / 8) each. */
export async function unpackBits({ shape, data }: Packed): Promise<Uint8Array> {
  const bytes = new Uint8Array(await inflated(data));
  const { rows, rowBytes } = bitRows(shape);
  if (bytes.length !== rows * rowBytes)
    throw new Error(`page data: got ${bytes.length} bytes, expected ${rows * rowBytes}`);
  return bytes;
}

function bitRows(shape: number[]): { rows: number; width: number; rowBytes: number } {
  const width = shape.at(-1) ?? 1;
  return {
    rows: shape.slice(0, -1).reduce((product, side) => product * side, 1),
    width,
    rowBytes: Math.ceil(width / 8),
  };
}

function spread(bytes: Uint8Array, shape: number[]): Uint8Array {
  const { rows, width, rowBytes } = bitRows(shape);
  const values = new Uint8Array(rows * width);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < width; column++, at++) {
      values[at] = (bytes[row * rowBytes + (column >> 3)] >> (column & 7)) & 1;
    }
  }
  return values;
}

/** The float with these 16 bits (IEEE 754 binary16). */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
