// node build.mjs: writes page.js and page.css, which the Python package holds. With --check it writes nothing, and fails
// where the files there differ from what it would write.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import esbuild from "esbuild";
import { kernelPlugin } from "./kernel.mjs";

const here = import.meta.dirname;
const assets = path.join(here, "../fastpunet/reports/page/assets");

const { outputFiles } = await esbuild.build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.ts", "page.style": "src/style/page.css" },
  outdir: assets,
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: ["chrome111", "firefox113", "safari16.4"],
  charset: "utf8",
  legalComments: "none",
  plugins: [kernelPlugin],
  logLevel: "warning",
});
await mkdir(assets, { recursive: true });
for (const { path: name, contents } of outputFiles) {
  const target = name.replace("page.style.css", "page.css");
  const shown = path.relative(here, target);
  if (process.argv.includes("--check")) {
    const there = await readFile(target).catch(() => Buffer.alloc(0));
    if (there.equals(contents)) continue;
    console.error(`${shown} is not what the sources give; run npm run build`);
    process.exitCode = 1;
  } else {
    await writeFile(target, contents);
    console.log(`${shown}: ${(contents.length / 1024).toFixed(1)} KiB`);
  }
}
