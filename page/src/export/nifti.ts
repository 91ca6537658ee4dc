/** A NIfTI-1 file of these labels (height, width) after the header of 352 bytes: the first axis is that of the rows. */
export function niftiFile(
  header: Uint8Array,
  labels: Uint8Array,
  height: number,
  width: number,
): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(header.length + labels.length);
  file.set(header);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      file[header.length + row + height * column] = labels[row * width + column]!;
    }
  }
  return file;
}
