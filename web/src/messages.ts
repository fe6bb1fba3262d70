/** What the page and its worker say to each other. */

import type { Models } from "./models";

export type Format = "png" | "jpeg" | "webp";

/** Why something did not work; strings.ts has a sentence for each. */
export type Reason = "type" | "damaged" | "large" | "memory" | "network" | "format" | "unknown";

export interface Settings {
  /** The address of the page, to which those of the networks are relative. */
  base: string;
  models: Models;
  /** For tests: a side of tiles in pixels, or null. */
  tile: number | null;
  /** Whether to use the GPU if there is one. */
  gpu: boolean;
}

export type Request =
  | { type: "settings"; settings: Settings }
  | { type: "open"; file: Blob }
  | { type: "restore"; network: string }
  | { type: "save"; format: Format; strength: number };

export interface Outcome {
  bitmap: ImageBitmap;
  device: "webgpu" | "wasm";
  threads: number;
  seconds: number;
}

export type Answer =
  | { type: "opened"; bitmap: ImageBitmap }
  | { type: "download"; loaded: number; total: number }
  | { type: "preparing" }
  | { type: "tiles"; done: number; total: number }
  | { type: "restored"; outcome: Outcome }
  | { type: "saved"; blob: Blob }
  | { type: "failed"; reason: Reason; detail: string };
