/** Runs a network with ONNX Runtime: on the GPU by WebGPU where there is one, else on the processor by WebAssembly. */

import type { InferenceSession } from "onnxruntime-web";
import plainModule from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import plainWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import gpuModule from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import gpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import { download } from "./downloads";
import type { Network } from "./models";

const MOST_THREADS = 8; // more gain little and take memory

export interface Engine {
  network: string;
  /** Where it computes. */
  device: "webgpu" | "wasm";
  threads: number;
  run(input: Float32Array, height: number, width: number): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Hears what takes long before a network runs: the download, in bytes, and then its preparation. */
export interface Listener {
  download(loaded: number, total: number): void;
  prepare(): void;
}

export async function hasGpu(): Promise<boolean> {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

/** @param network - from `models.json`; its file is in the folder `models`, relative to the page at `base` */
export async function createEngine(network: Network, base: string, gpu: boolean, listener: Listener): Promise<Engine> {
  const ort = gpu ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
  const absolute = (url: string) => new URL(url, self.location.href).href;
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  const loaded = [0, 0];
  const totals = [0, network.bytes];
  const part = (number: number) => (now: number, total: number) => {
    [loaded[number], totals[number]] = [now, total];
    if (totals[0]) listener.download(loaded[0] + loaded[1], totals[0] + totals[1]);
  };
  const [wasm, model] = await Promise.all([
    ort.env.wasm.wasmBinary ?? download(absolute(gpu ? gpuWasm : plainWasm), base, 0, null, part(0)),
    download(new URL(`models/${network.file}`, base).href, base, network.bytes, network.sha256, part(1)),
  ]);
  listener.prepare();
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: absolute(gpu ? gpuModule : plainModule) };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const options: InferenceSession.SessionOptions = {
    executionProviders: [gpu ? "webgpu" : "wasm"],
    // Tiles differ in size; an arena would keep memory for each of the sizes.
    enableMemPattern: false,
    logSeverityLevel: 3, // errors; a warning that some small operations run on the processor is no news
  };
  const session = await ort.InferenceSession.create(model, options);
  return {
    network: network.name,
    device: gpu ? "webgpu" : "wasm",
    threads,
    async run(input, height, width) {
      const image = new ort.Tensor("float32", input, [1, height, width, 3]);
      const { restored } = await session.run({ image });
      const data = (await restored.getData(true)) as Float32Array;
      restored.dispose();
      return data;
    },
    release: () => session.release(),
  };
}
