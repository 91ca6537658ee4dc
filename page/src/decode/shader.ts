// The fragment shader that decodes a latent.
import { outputsOf, type Weights } from "./weights";

export const WEIGHTS_WIDTH = 1024; // texels in a row of the texture of weights

/** Draws the label of each pixel, divided by 255, into the red channel. */
export function shader(weights: Weights): string {
  const groups = Math.ceil(weights.channels / 4);
  const most = Math.max(groups, ...weights.layers.map((layer) => Math.ceil(layer.outputs / 4)));
  const map = weights.map
    ? `vec4 shift(int g, ivec2 at) {
         vec2 d = texelFetch(down, ivec2(at.y, 0), 0).xy, a = texelFetch(across, ivec2(at.x, 0), 0).xy;
         ivec2 low = ivec2(a.x, d.x), high = min(low + 1, ivec2(${weights.map.columns - 1}, ${weights.map.rows - 1}));
         vec4 left = mix(cell(low.x, low.y, g), cell(low.x, high.y, g), d.y);
         return mix(left, mix(cell(high.x, low.y, g), cell(high.x, high.y, g), d.y), a.y);
       }`
    : "vec4 shift(int g, ivec2 at) { return vec4(0); }";
  let start = 0;
  let inputs = groups;
  const layers = weights.layers.map((layer, l) => {
    const outputs = Math.ceil(layer.outputs / 4);
    const rectified = l + 1 < weights.layers.length;
    const code = `for (int o = 0; o < ${outputs}; o++) {
        int k = ${start} + o * ${inputs * 4 + 1};
        vec4 sum = weight(k++);
        for (int i = 0; i < ${inputs}; i++, k += 4) {
          vec4 v = x[i];
          sum += weight(k) * v.x + weight(k + 1) * v.y + weight(k + 2) * v.z + weight(k + 3) * v.w;
        }
        y[o] = ${rectified ? "max(sum, 0.0)" : "sum"};
      }
      for (int o = 0; o < ${outputs}; o++) x[o] = y[o];`;
    start += outputs * (inputs * 4 + 1);
    inputs = outputs;
    return code;
  });
  return `#version 300 es
    precision highp float;
    precision highp int;
    precision highp sampler2DArray;
    uniform sampler2DArray base, cells;
    uniform highp sampler2D weights, down, across;
    uniform vec4 offset[${groups}];
    out vec4 label;
    vec4 weight(int k) { return texelFetch(weights, ivec2(k % ${WEIGHTS_WIDTH}, k / ${WEIGHTS_WIDTH}), 0); }
    vec4 cell(int column, int row, int g) { return texelFetch(cells, ivec3(column, row, g), 0); }
    ${map}
    void main() {
      ivec2 at = ivec2(gl_FragCoord.xy);
      vec4 x[${most}], y[${most}];
      for (int g = 0; g < ${groups}; g++) x[g] = max(texelFetch(base, ivec3(at, g), 0) + offset[g] + shift(g, at), 0.0);
      ${layers.join("\n")}
      int found = 0;
      ${choice(outputsOf(weights))}
      label = vec4(float(found) / 255.0, 0, 0, 1);
    }`;
}

function choice(outputs: number): string {
  if (outputs === 1) return "found = x[0].x > 0.0 ? 1 : 0;";
  return `float largest = x[0].x;
    for (int k = 1; k < ${outputs}; k++) if (x[k / 4][k % 4] > largest) { largest = x[k / 4][k % 4]; found = k; }`;
}
