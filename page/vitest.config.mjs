import { defineConfig } from "vitest/config";
import { compiledKernel } from "./kernel.mjs";

const kernel = {
  name: "kernel",
  resolveId: (id) => (id === "decode-kernel" ? "\0decode-kernel" : null),
  load: async (id) =>
    id === "\0decode-kernel"
      ? `export default new Uint8Array(${JSON.stringify([...(await compiledKernel())])});`
      : null,
};

export default defineConfig({ plugins: [kernel], test: { include: ["test/**/*.test.ts"] } });
