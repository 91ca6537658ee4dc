/** One way of decoding. Labels are those of the rectangle `place` of the weights, new ones in each call. */
export interface Backend {
  name: "webassembly" | "webgl" | "javascript";
  labels(z: ArrayLike<number>): Uint8Array;
}
