import type { Exports } from "../case";

type Template = NonNullable<Exports["seg"]>;

/** A DICOM SEG file of the pixels with the label: the template with the mask, and with new identifiers. */
export function segFile(
  template: Uint8Array,
  { pixelData, identifiers }: Template,
  labels: Uint8Array,
  label: number,
): Uint8Array<ArrayBuffer> {
  const file = Uint8Array.from(template);
  file.fill(0, pixelData, pixelData + Math.ceil(labels.length / 8));
  labels.forEach((one, k) => {
    if (one === label) file[pixelData + (k >> 3)] |= 1 << (k & 7);
  });
  const fresh = new Map<string, string>();
  for (const { offset, length } of identifiers) {
    const placeholder = String.fromCharCode(...template.subarray(offset, offset + length));
    const identifier = fresh.get(placeholder) ?? newIdentifier(length);
    fresh.set(placeholder, identifier);
    for (let i = 0; i < length; i++) file[offset + i] = identifier.charCodeAt(i);
  }
  return file;
}

/** A random UID under 2.25, the root of UUIDs as decimal numbers (DICOM PS3.5 B.2), of this many characters: 10 to 44. */
function newIdentifier(length: number): string {
  const random = crypto.getRandomValues(new Uint32Array(length - 5));
  const digits = Array.from(random, (value, i) => (i === 0 ? 1 + (value % 2) : value % 10)); // below 2^128 = 3.4e38
  return `2.25.${digits.join("")}`;
}
