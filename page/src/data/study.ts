// All that the page knows of the case, unpacked. Nothing in it changes.
import type { Alternatives, Case } from "../case";
import { LiveDecoder } from "../decode/decoder";
import { readWeights } from "../decode/weights";
import { packed, Planes } from "./planes";
import { unpack, unpackBits, unpackBytes, unpackFloats, type Numbers } from "./unpack";

export interface MeasureValues {
  name: string;
  unit: string;
  values: Float32Array; // of each hypothesis, NaN where it has none
}

export interface ClassFacts {
  label: number;
  name: string;
  modes: Alternatives["modes"];
  members: Uint8Array;
  measures: MeasureValues[];
  planes: Planes; // the hypotheses, with this class as the foreground
}

/** A label map that somebody or something drew. */
export interface Drawing {
  name: string;
  labels: Uint8Array;
  position: [number, number] | null;
  note: string | null;
}

export interface Pad {
  reach: number;
  positions: Float32Array; // (n, 2)
  decoder: LiveDecoder;
  latent(position: readonly [number, number]): Float32Array;
}

export interface Study {
  facts: Case;
  height: number;
  width: number;
  pixels: Numbers;
  classes: ClassFacts[]; // all but 0
  annotations: Drawing[];
  pad: Pad | null;
  labelsOf(hypothesis: number): Uint8Array;
}

export async function readStudy(facts: Case): Promise<Study> {
  const { height, width } = facts.image;
  const { n } = facts.hypotheses;
  const { planes, labelsOf } = await readLabels(facts);
  const classes = await Promise.all(facts.alternatives.map((found) => readClass(facts, found, planes(found.label))));
  const annotations = await Promise.all(
    facts.annotations.map(async ({ name, labels: own, position, logLikelihood }) => ({
      name,
      labels: await unpackBytes(own),
      position,
      note: logLikelihood,
    })),
  );
  return {
    facts,
    height,
    width,
    pixels: await unpack(facts.image.pixels),
    classes,
    annotations,
    pad: await readPad(facts),
    labelsOf(hypothesis) {
      if (hypothesis < 0 || hypothesis >= n) throw new Error(`hypothesis: got ${hypothesis}, expected 0 .. ${n - 1}`);
      return labelsOf(hypothesis);
    },
  };
}

interface Labels {
  planes: (label: number) => Planes;
  labelsOf: (hypothesis: number) => Uint8Array;
}

/** The hypotheses; those of a binary model stay bits. */
async function readLabels({ hypotheses, image }: Case): Promise<Labels> {
  const { n, labels } = hypotheses;
  if (labels.dtype === "bits") {
    const only = Planes.ofBits(await unpackBits(labels), n, image.height, image.width);
    return { planes: () => only, labelsOf: (hypothesis) => only.mask(hypothesis) };
  }
  const bytes = await unpackBytes(labels);
  const pixels = image.height * image.width;
  return {
    planes: (label) => Planes.ofLabel(bytes, n, label),
    labelsOf: (hypothesis) => bytes.slice(hypothesis * pixels, (hypothesis + 1) * pixels),
  };
}

async function readClass(facts: Case, found: Alternatives, planes: Planes): Promise<ClassFacts> {
  const measures = found.measures.map(async ({ name, unit, values }) => ({
    name,
    unit,
    values: await unpackFloats(values),
  }));
  return {
    label: found.label,
    name: facts.classes[found.label] ?? `class ${found.label}`,
    modes: found.modes,
    members: await unpackBytes(found.members),
    measures: await Promise.all(measures),
    planes,
  };
}

async function readPad({ pad, image }: Case): Promise<Pad | null> {
  if (!pad) return null;
  const origin = await unpackFloats(pad.origin);
  const axes = await unpackFloats(pad.axes);
  const decoder = await LiveDecoder.create(await readWeights(pad.decoder), [image.height, image.width]);
  return {
    reach: pad.reach,
    positions: await unpackFloats(pad.hypotheses),
    decoder,
    latent: ([a, b]) => origin.map((start, i) => start + a * axes[i] + b * axes[origin.length + i]),
  };
}

/** Label of pixels that nobody annotated. */
export const NOT_ANNOTATED = 255;

/** The pixels that count, packed; null where all do. */
export function annotated(labels: Uint8Array): Uint32Array | null {
  return labels.includes(NOT_ANNOTATED)
    ? packed(
        labels.map((label) => (label === NOT_ANNOTATED ? 1 : 0)),
        0,
      )
    : null;
}
