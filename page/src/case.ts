// What a page is made of. Python (fastpunet/reports/page/) writes it as JSON into the page, in <script type="application/json" id="case">.

/** Numbers in a compact form: base64 of zlib-compressed little-endian values, in C order. "bits" holds 8 values a byte,
 *  the first in the lowest bit, each row of the last axis padded to whole bytes. */
export interface Packed {
  dtype: "float32" | "float16" | "uint8" | "uint16" | "int16" | "int32" | "bits";
  shape: number[];
  data: string;
}

export interface Case {
  version: 1;
  title: string; // name of the image, as the user knows it
  source: string; // file it came from
  model: ModelFacts;
  image: ImageFacts;
  classes: string[]; // of label 0, 1, ...; a binary model has ["background", "foreground"]
  hypotheses: Hypotheses;
  alternatives: Alternatives[]; // of each class but 0; a binary model has one entry
  annotations: Annotation[];
  pad: LatentPad | null; // null: this method has no latent, or its decoder is not known; `padMissing` says why
  padMissing: string | null;
  exports: Exports;
  /** Plain sentences to know before anything is used: what does not fit the model, and what was left out to keep the
   *  page small. Often empty. */
  notes: string[];
  made: { version: string; date: string; command: string };
}

export interface ModelFacts {
  name: string;
  method: string;
  /** Plain sentences on how far the probabilities can be trusted, from the calibration kept with the weights. */
  calibration: { sentences: string[]; presence: Bins | null; pixels: Bins | null; volume: Bins | null } | null;
  /** Whether the image looks like those that the model was trained on. `level` "unknown": the weights do not say. */
  familiarity: { level: "usual" | "unusual" | "unknown"; sentence: string; how: string };
}

export interface Bins {
  count: number[];
  predicted: number[];
  observed: number[];
}

export interface ImageFacts {
  height: number;
  width: number;
  channels: 1 | 3;
  pixels: Packed; // (height, width) or (height, width, 3), in the file's own unit
  unit: string; // such as "HU"; "" where it has none
  window: [number, number]; // darkest and brightest value at first
  spacing: [number, number] | null; // mm between rows and between columns
}

export interface Hypotheses {
  n: number;
  seed: number;
  labels: Packed; // "bits" (n, height, width) of a binary model, else uint8 (n, height, width)
  z: Packed | null; // float32 (n, latent_dim), or float16 where float32 would be too large; null as `pad`
}

/** What was found for one class, with that class as the foreground. */
export interface Alternatives {
  label: number;
  modes: Mode[]; // the most probable first
  members: Packed; // uint8 (n,), the mode of each hypothesis
  measures: Measure[]; // such as area and longest diameter
}

export interface Mode {
  probability: number;
  interval: [number, number];
  hypothesis: number; // its representative
  name: string; // such as "479 pixels" or "nothing"
}

export interface Measure {
  name: string; // such as "area"
  unit: string; // such as "mm²" or "px"
  values: Packed; // float32 (n,), NaN where a hypothesis has no such value
}

export interface Annotation {
  name: string;
  labels: Packed; // as of one hypothesis, without the axis n; in uint8, 255 is not annotated
  position: [number, number] | null; // in the pad
  logLikelihood: string | null; // a plain sentence
}

/** A plane through the latent space: z = origin + a * axes[0] + b * axes[1], a and b in standard deviations of the
 *  prior, in which the prior's contours are circles. */
export interface LatentPad {
  origin: Packed; // float32 (latent_dim,)
  axes: Packed; // float32 (2, latent_dim)
  reach: number; // the pad shows -reach to reach along both axes
  hypotheses: Packed; // float32 (n, 2), where the hypotheses lie
  decoder: Decoder;
}

/** logits = layers(relu(base[pixel] + zWeight z + mapWeight map[pixel])), with a ReLU between layers and none at the end.
 *  The label is logit > 0 for one output, else the index of the largest (the first of equals). */
export interface Decoder {
  base: Packed; // float32 (height, width, h), or float16 where float32 would be too large; of its own size, see `place`
  zWeight: Packed; // float32 (h, latents of the whole image), the first entries of z
  layers: { weight: Packed; bias: Packed }[]; // float32 (outputs, inputs) and (outputs,); the last one gives the logits
  map: LatentMap | null;
  place: Place;
}

/** Latents on a coarse grid: the rest of z holds `channels` maps of rows x columns cells, one after another in C order.
 *  Pixel (row, column) of the base lies at (origin[0] + row * step[0], origin[1] + column * step[1]), counted in cells
 *  from the first one, and has what is interpolated linearly there between the four cells around it. */
export interface LatentMap {
  channels: number;
  rows: number;
  columns: number;
  weight: Packed; // float32 (h, channels)
  origin: [number, number];
  step: [number, number];
}

/** Where the decoded labels lie in the image: in the rectangle whose first pixel is (row, column). Outside of it they
 *  are 0. */
export interface Place {
  row: number;
  column: number;
  height: number;
  width: number;
  /** Null: the decoder's pixels are those of the rectangle. Else the model looked at the image on another grid, and the
   *  logits of the rectangle, before they become labels, are rows * logits * columns^T for each output, with rows
   *  float32 (height, height of the base) and columns float32 (width, width of the base). Few weights are not 0. */
  resample: { rows: Packed; columns: Packed } | null;
}

export interface Exports {
  /** First 352 bytes of a NIfTI-1 file of uint8 labels, (height, width, 1), in the geometry of the image; null for
   *  pictures without one. As in all of fastpunet's NIfTI files the first axis is that of the rows, so that the page
   *  writes the label of pixel (row, column) at byte 352 + row + height * column. */
  nifti: Packed | null;
  /** A DICOM SEG of one segment with an empty mask; null where the image is no DICOM file. The page writes its mask from
   *  byte `pixelData` on: pixel (row, column) is bit k % 8 (0 is the lowest) of byte k / 8, k = row * width + column,
   *  rows not padded. At `identifiers` stand placeholders of UIDs, each "2.25." and digits, 10 to 44 characters in all
   *  (zero bytes that pad to an even length are not counted). The page writes new ones of the same length over them, the
   *  same one wherever the same placeholder stood. */
  seg: { file: Packed; pixelData: number; identifiers: { offset: number; length: number }[] } | null;
}
