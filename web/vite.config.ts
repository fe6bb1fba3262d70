import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { HEADERS, POLICY } from "./headers.ts";

const PUBLIC = "public";

/** Stops a build without networks, with the command that makes them. */
function needModels(): Plugin {
  return {
    name: "need-models",
    apply: "build",
    buildStart() {
      if (!existsSync(join(PUBLIC, "models/models.json"))) {
        this.error("There are no networks in public/models/: run `npm run models` first");
      }
    },
  };
}

/** Puts the policy into the page and all headers into dist/_headers, which Netlify and Cloudflare Pages read. */
function securityHeaders(): Plugin {
  return {
    name: "security-headers",
    apply: "build",
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: POLICY },
        injectTo: "head-prepend",
      },
    ],
    generateBundle() {
      const lines = Object.entries(HEADERS).map(([name, value]) => `  ${name}: ${value}\n`);
      this.emitFile({ type: "asset", fileName: "_headers", source: `/*\n${lines.join("")}` });
    },
  };
}

/** Tells the service worker which files the build has, and a version that changes whenever one of them does. */
function listFiles(): Plugin {
  return {
    name: "list-files",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") this.error("The service worker is not in the build");
      const version = createHash("sha256");
      const files = readdirSync(PUBLIC, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(PUBLIC.length + 1));
      files.sort().forEach((file) => version.update(file).update(readFileSync(join(PUBLIC, file))));
      for (const [name, file] of Object.entries(bundle)) {
        if (name === "sw.js" || name === "_headers") continue;
        files.push(name);
        version.update(name).update(file.type === "chunk" ? file.code : file.source);
      }
      worker.code = worker.code
        .replace("__FILES__", () => JSON.stringify(files.sort()))
        .replace("__VERSION__", () => JSON.stringify(version.digest("hex").slice(0, 12)));
    },
  };
}

export default defineConfig({
  base: "./", // so that the page can be in any folder of a site
  resolve: {
    // ONNX Runtime then loads its WebAssembly from where engine.ts says, and the build has no second copy of it.
    conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"],
  },
  worker: {
    format: "es",
    rolldownOptions: {
      output: {
        // ONNX Runtime's .mjs files: some hosts do not know that ending, and browsers refuse modules of another type.
        assetFileNames: ({ names }) => `assets/[name]-[hash]${names[0]?.endsWith(".mjs") ? ".js" : "[extname]"}`,
      },
    },
  },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the policy allows no data: addresses
    chunkSizeWarningLimit: 1000,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: {
        entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  server: { headers: { ...HEADERS, "Content-Security-Policy": "" } },
  preview: { headers: HEADERS },
  plugins: [needModels(), securityHeaders(), listFiles()],
});
