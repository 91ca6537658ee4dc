// Decoding in a fragment shader of WebGL 2, in float32. The label of a pixel is drawn into a texture and read back.
import type { Backend } from "./backend";
import { shader, WEIGHTS_WIDTH } from "./shader";
import { between, cellsOf, offsetOf, type Layer, type Weights } from "./weights";

/** Throws where the browser has no WebGL 2, or none that can hold the decoder. */
export function webglBackend(weights: Weights): Backend {
  if (weights.place.resample) throw new Error("the shader gives labels, and logits are wanted on another grid");
  const { height, width, channels } = weights;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
  if (!gl) throw new Error("no WebGL 2");
  const groups = Math.ceil(channels / 4);
  if (
    Math.max(height, width) > gl.getParameter(gl.MAX_TEXTURE_SIZE) ||
    groups > gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS)
  ) {
    throw new Error("the decoder is too large for a texture");
  }
  const program = link(gl, shader(weights));
  gl.useProgram(program);
  array(gl, 0, width, height, groups, inGroups(weights.base, channels));
  weightTexture(gl, 1, weights.layers, channels);
  setUnit(gl, program, "base", 0);
  setUnit(gl, program, "weights", 1);
  const { map } = weights;
  if (map) {
    setUnit(gl, program, "cells", 2);
    tableTexture(gl, 3, between(map.origin[0], map.step[0], map.rows, height));
    tableTexture(gl, 4, between(map.origin[1], map.step[1], map.columns, width));
    setUnit(gl, program, "down", 3);
    setUnit(gl, program, "across", 4);
  }
  const offsetAt = gl.getUniformLocation(program, "offset");
  const target = labelTarget(gl, width, height);
  const pixels = new Uint8Array(height * width * 4);
  return {
    name: "webgl",
    labels(z) {
      const cells = cellsOf(weights, z);
      if (map && cells) array(gl, 2, map.columns, map.rows, groups, inGroups(cells, channels));
      gl.uniform4fv(offsetAt, padded(offsetOf(weights, z), groups * 4));
      gl.bindFramebuffer(gl.FRAMEBUFFER, target);
      gl.viewport(0, 0, width, height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
      if (gl.isContextLost() || gl.getError() !== gl.NO_ERROR) throw new Error("WebGL stopped working");
      return Uint8Array.from({ length: height * width }, (_, p) => pixels[4 * p]);
    },
  };
}

function link(gl: WebGL2RenderingContext, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  const triangle =
    "#version 300 es\nvoid main() { gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1); }";
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, triangle],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const part = gl.createShader(kind)!;
    gl.shaderSource(part, source);
    gl.compileShader(part);
    gl.attachShader(program, part);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("the shader of the decoder does not compile");
  return program;
}

function setUnit(gl: WebGL2RenderingContext, program: WebGLProgram, name: string, unit: number): void {
  gl.uniform1i(gl.getUniformLocation(program, name), unit);
}

function unfiltered(gl: WebGL2RenderingContext, kind: number): void {
  gl.texParameteri(kind, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(kind, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}

/** A texture array RGBA32F of `groups` layers at a unit, which keeps its texture from the first call on. */
function array(
  gl: WebGL2RenderingContext,
  unit: number,
  width: number,
  height: number,
  groups: number,
  values: Float32Array,
): void {
  gl.activeTexture(gl.TEXTURE0 + unit);
  if (!gl.getParameter(gl.TEXTURE_BINDING_2D_ARRAY)) gl.bindTexture(gl.TEXTURE_2D_ARRAY, gl.createTexture());
  unfiltered(gl, gl.TEXTURE_2D_ARRAY);
  gl.texImage3D(gl.TEXTURE_2D_ARRAY, 0, gl.RGBA32F, width, height, groups, 0, gl.RGBA, gl.FLOAT, values);
}

/** For every four outputs of each layer their biases, then for each input their four weights. */
function weightTexture(gl: WebGL2RenderingContext, unit: number, layers: Layer[], channels: number): void {
  const texels: number[] = [];
  let inputs = Math.ceil(channels / 4) * 4;
  for (const layer of layers) {
    for (let o = 0; o < layer.outputs; o += 4) {
      const four = [o, o + 1, o + 2, o + 3];
      texels.push(...four.map((k) => layer.bias[k] ?? 0));
      for (let i = 0; i < inputs; i++) {
        texels.push(
          ...four.map((k) => (i < layer.inputs && k < layer.outputs ? layer.weight[k * layer.inputs + i] : 0)),
        );
      }
    }
    inputs = Math.ceil(layer.outputs / 4) * 4;
  }
  const rows = Math.ceil(texels.length / 4 / WEIGHTS_WIDTH);
  flat(gl, unit, WEIGHTS_WIDTH, rows, padded(texels, rows * WEIGHTS_WIDTH * 4));
}

function tableTexture(
  gl: WebGL2RenderingContext,
  unit: number,
  { low, part }: { low: Int32Array; part: Float32Array },
): void {
  const values = new Float32Array(low.length * 4);
  low.forEach((cell, i) => {
    values.set([cell, part[i]], 4 * i);
  });
  flat(gl, unit, low.length, 1, values);
}

function flat(gl: WebGL2RenderingContext, unit: number, width: number, height: number, values: Float32Array): void {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  unfiltered(gl, gl.TEXTURE_2D);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, values);
}

function labelTarget(gl: WebGL2RenderingContext, width: number, height: number): WebGLFramebuffer {
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE5);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
  const target = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  return target;
}

/** (places, channels) to (groups of four channels, places, 4), with zeros for channels too many. */
function inGroups(values: Float32Array, channels: number): Float32Array {
  const places = values.length / channels;
  const found = new Float32Array(places * Math.ceil(channels / 4) * 4);
  for (let p = 0; p < places; p++) {
    for (let c = 0; c < channels; c++) found[((c >> 2) * places + p) * 4 + (c & 3)] = values[p * channels + c]!;
  }
  return found;
}

function padded(values: ArrayLike<number>, length: number): Float32Array {
  const found = new Float32Array(length);
  found.set(values);
  return found;
}
