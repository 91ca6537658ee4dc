/** A PNG file with a grey value for each pixel: 255 where a binary mask is, else the label. */
export async function pngFile(
  labels: Uint8Array,
  height: number,
  width: number,
  binary: boolean,
): Promise<Uint8Array<ArrayBuffer>> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  labels.forEach((label, p) => {
    image.data.fill(binary && label ? 255 : label, 4 * p, 4 * p + 3);
    image.data[4 * p + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => {
    canvas.toBlob(resolve, "image/png");
  });
  if (!blob) throw new Error("the browser could not write a PNG file");
  return new Uint8Array(await blob.arrayBuffer());
}
