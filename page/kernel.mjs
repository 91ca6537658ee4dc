// Compiles kernel/decode.ts to WebAssembly, for the bundle and for the tests.
import { readFile } from "node:fs/promises";
import path from "node:path";
import asc from "assemblyscript/asc";

const source = path.join(import.meta.dirname, "kernel/decode.ts");

export async function compiledKernel() {
  let compiled;
  const { error, stderr } = await asc.main(
    ["decode.ts", "--outFile", "decode.wasm", "--runtime", "stub", "-O3", "--enable", "simd", "--use", "abort="],
    {
      readFile: (name) => (name === "decode.ts" ? readFile(source, "utf8") : null),
      writeFile: (_name, content) => void (compiled = content),
      listFiles: () => null,
    },
  );
  if (error) throw new Error(`kernel/decode.ts: ${error.message}\n${stderr}`);
  return Buffer.from(compiled);
}

/** Lets esbuild answer `import kernel from "decode-kernel"` with the module's bytes. */
export const kernelPlugin = {
  name: "kernel",
  setup(build) {
    build.onResolve({ filter: /^decode-kernel$/ }, () => ({ path: "decode-kernel", namespace: "kernel" }));
    build.onLoad({ filter: /.*/, namespace: "kernel" }, async () => ({
      contents: await compiledKernel(),
      loader: "binary",
    }));
  },
};
