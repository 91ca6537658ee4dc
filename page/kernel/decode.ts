// Layers of the decoder for eight pixels at a time, in AssemblyScript, which the build compiles to WebAssembly SIMD.
// Every array is at an address in the module's memory. Activations of a tile are float32 (channels, 8), a row for each
// channel. Weights are float32 (outputs / 4, inputs, 4), and outputs are a multiple of 4.

const ROW: usize = 32; // bytes in a row of a tile
const VECTOR: usize = 16;

/** Bytes of memory in whole pages from the first address that is free, which is returned. */
export function reserve(bytes: usize): usize {
  const start = (<usize>memory.size()) << 16;
  memory.grow(<i32>((bytes + 0xffff) >> 16));
  return start;
}

/** target = max(base + offset, 0) of one tile; offset is float32 (channels,). */
function first(base: usize, shift: usize, offset: usize, channels: usize, target: usize): void {
  const zero = f32x4.splat(0);
  for (let c: usize = 0; c < channels; c++) {
    const o = v128.load32_splat(offset + c * 4);
    let low = f32x4.add(v128.load(base), o);
    let high = f32x4.add(v128.load(base, VECTOR), o);
    if (shift) {
      low = f32x4.add(low, v128.load(shift));
      high = f32x4.add(high, v128.load(shift, VECTOR));
      shift += ROW;
    }
    v128.store(target, f32x4.max(low, zero));
    v128.store(target, f32x4.max(high, zero), VECTOR);
    base += ROW;
    target += ROW;
  }
}

/** target = weight source + bias of one tile, and no less than `least`. */
function layer(
  source: usize,
  weight: usize,
  bias: usize,
  inputs: usize,
  outputs: usize,
  least: f32,
  target: usize,
): void {
  const floor = f32x4.splat(least);
  for (let o: usize = 0; o < outputs; o += 4) {
    let a0 = v128.load32_splat(bias),
      a1 = a0;
    let b0 = v128.load32_splat(bias, 4),
      b1 = b0;
    let c0 = v128.load32_splat(bias, 8),
      c1 = c0;
    let d0 = v128.load32_splat(bias, 12),
      d1 = d0;
    let x = source;
    for (let i: usize = 0; i < inputs; i++) {
      const low = v128.load(x),
        high = v128.load(x, VECTOR);
      let w = v128.load32_splat(weight);
      ((a0 = f32x4.add(a0, f32x4.mul(low, w))), (a1 = f32x4.add(a1, f32x4.mul(high, w))));
      w = v128.load32_splat(weight, 4);
      ((b0 = f32x4.add(b0, f32x4.mul(low, w))), (b1 = f32x4.add(b1, f32x4.mul(high, w))));
      w = v128.load32_splat(weight, 8);
      ((c0 = f32x4.add(c0, f32x4.mul(low, w))), (c1 = f32x4.add(c1, f32x4.mul(high, w))));
      w = v128.load32_splat(weight, 12);
      ((d0 = f32x4.add(d0, f32x4.mul(low, w))), (d1 = f32x4.add(d1, f32x4.mul(high, w))));
      x += ROW;
      weight += VECTOR;
    }
    (v128.store(target, f32x4.max(a0, floor)), v128.store(target, f32x4.max(a1, floor), 16));
    (v128.store(target, f32x4.max(b0, floor), 32), v128.store(target, f32x4.max(b1, floor), 48));
    (v128.store(target, f32x4.max(c0, floor), 64), v128.store(target, f32x4.max(c1, floor), 80));
    (v128.store(target, f32x4.max(d0, floor), 96), v128.store(target, f32x4.max(d1, floor), 112));
    target += 4 * ROW;
    bias += VECTOR;
  }
}

/** Logits of all tiles. `plan` is uint32: the number of layers, the channels of the base, the outputs to keep, then for
 *  each layer its outputs, the address of its weights and that of its biases. `scratch` has room for two tiles of the
 *  widest layer, each `room` bytes; target is float32 (tiles, kept, 8). */
export function decode(
  tiles: usize,
  base: usize,
  shift: usize,
  offset: usize,
  plan: usize,
  scratch: usize,
  room: usize,
  target: usize,
): void {
  const layers = load<u32>(plan),
    channels = <usize>load<u32>(plan, 4),
    kept = <usize>load<u32>(plan, 8);
  for (let t: usize = 0; t < tiles; t++) {
    let source = scratch,
      other = scratch + room,
      inputs = channels;
    first(base, shift, offset, channels, source);
    let at = plan + 12;
    for (let l: u32 = 0; l < layers; l++) {
      const outputs = <usize>load<u32>(at);
      const least = l + 1 < layers ? <f32>0 : -f32.MAX_VALUE;
      layer(source, <usize>load<u32>(at, 4), <usize>load<u32>(at, 8), inputs, outputs, least, other);
      const before = source;
      ((source = other), (other = before), (inputs = outputs));
      at += 12;
    }
    memory.copy(target, source, kept * ROW);
    target += kept * ROW;
    base += channels * ROW;
    if (shift) shift += channels * ROW;
  }
}
