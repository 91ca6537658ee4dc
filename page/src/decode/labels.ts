// From logits to labels, on the rectangle in which the decoder's labels lie.
import type { Resample, Weights } from "./weights";
import { outputsOf } from "./weights";

/** A function from logits (outputs, height * width) of the base to labels of the rectangle. */
export function labeller(weights: Weights): (logits: Float32Array) => Uint8Array {
  const outputs = outputsOf(weights);
  const { height, width, resample } = weights.place;
  if (!resample) return (logits) => labelsOf(logits, outputs);
  const rows = nonzero(resample.rows, height, weights.height);
  const columns = nonzero(resample.columns, width, weights.width);
  return (logits) => labelsOf(resampled(logits, outputs, weights.height, weights.width, rows, columns), outputs);
}

function labelsOf(logits: Float32Array, outputs: number): Uint8Array {
  const pixels = logits.length / outputs;
  const labels = new Uint8Array(pixels);
  if (outputs === 1) {
    for (let p = 0; p < pixels; p++) labels[p] = logits[p] > 0 ? 1 : 0;
    return labels;
  }
  const largest = logits.slice(0, pixels);
  for (let k = 1; k < outputs; k++) {
    for (let p = 0; p < pixels; p++) {
      const logit = logits[k * pixels + p];
      if (logit > largest[p]) {
        largest[p] = logit;
        labels[p] = k;
      }
    }
  }
  return labels;
}

interface Sparse {
  sources: Int32Array[]; // of each result, the places that it takes from
  parts: Float32Array[];
}

function nonzero(matrix: Resample["rows"], length: number, from: number): Sparse {
  const found: Sparse = { sources: [], parts: [] };
  for (let i = 0; i < length; i++) {
    const line = matrix.subarray(i * from, (i + 1) * from);
    const sources = Int32Array.from([...line.keys()].filter((j) => line[j] !== 0));
    found.sources.push(sources);
    found.parts.push(Float32Array.from(sources, (j) => line[j]));
  }
  return found;
}

function resampled(
  logits: Float32Array,
  outputs: number,
  height: number,
  width: number,
  rows: Sparse,
  columns: Sparse,
): Float32Array {
  const wide = columns.sources.length;
  const across = apply(logits, outputs * height, width, 1, columns); // (outputs, height, wide)
  const found = new Float32Array(outputs * rows.sources.length * wide);
  for (let k = 0; k < outputs; k++) {
    const plane = across.subarray(k * height * wide, (k + 1) * height * wide);
    found.set(apply(plane, 1, height, wide, rows), k * rows.sources.length * wide);
  }
  return found;
}

/** values (outer, from, inner) to (outer, to, inner), each a weighted sum along the middle axis. */
function apply(
  values: Float32Array,
  outer: number,
  from: number,
  inner: number,
  { sources, parts }: Sparse,
): Float32Array {
  const to = sources.length;
  const found = new Float32Array(outer * to * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      const target = (o * to + i) * inner;
      for (let s = 0; s < sources[i].length; s++) {
        const source = (o * from + sources[i][s]) * inner;
        const part = parts[i][s];
        for (let j = 0; j < inner; j++) found[target + j] = found[target + j] + part * values[source + j];
      }
    }
  }
  return found;
}
