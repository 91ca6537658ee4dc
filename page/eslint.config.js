import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["kernel/"] }, // AssemblyScript, which its own compiler checks
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Text of the case goes into the page as text alone." },
        { property: "outerHTML", message: "Text of the case goes into the page as text alone." },
        { property: "insertAdjacentHTML", message: "Text of the case goes into the page as text alone." },
      ],
    },
  },
  {
    files: ["*.mjs"],
    languageOptions: {
      globals: {
        process: "readonly",
        console: "readonly",
        performance: "readonly",
        Buffer: "readonly",
        WebAssembly: "readonly",
      },
    },
  },
);
