// npm run measure: how long decoding one latent takes here, at 128 x 128 pixels with the published decoder (32 channels,
// four layers: 34 million multiplications). In a browser, `fastpunet.milliseconds` says the same of the page that is open.
import esbuild from "esbuild";
import { kernelPlugin } from "./kernel.mjs";

const entry = `
  export { javascriptBackend } from "./src/decode/javascript";
  export { webassemblyBackend } from "./src/decode/webassembly";`;
const { outputFiles } = await esbuild.build({
  stdin: { contents: entry, resolveDir: import.meta.dirname, loader: "ts" },
  bundle: true,
  write: false,
  format: "esm",
  target: "node20",
  plugins: [kernelPlugin],
});
const { javascriptBackend, webassemblyBackend } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
);

const [side, channels, latents] = [128, 32, 6];
const random = (length) => Float32Array.from({ length }, () => (Math.random() - 0.5) * 0.5);
const layer = (inputs, outputs) => ({ inputs, outputs, weight: random(inputs * outputs), bias: random(outputs) });
const weights = {
  height: side,
  width: side,
  channels,
  latents,
  base: random(side * side * channels),
  zWeight: random(channels * latents),
  layers: [layer(channels, channels), layer(channels, channels), layer(channels, 1)],
  map: null,
  place: { row: 0, column: 0, height: side, width: side, resample: null },
};
for (const backend of [await webassemblyBackend(weights), javascriptBackend(weights)]) {
  for (let run = 0; run < 10; run++) backend.labels(random(latents)); // until it is compiled
  const times = Array.from({ length: 50 }, () => {
    const start = performance.now();
    backend.labels(random(latents));
    return performance.now() - start;
  }).sort((a, b) => a - b);
  console.log(`${backend.name}: ${times[25].toFixed(1)} ms, ${(1000 / times[25]).toFixed(0)} a second (median of 50)`);
}
