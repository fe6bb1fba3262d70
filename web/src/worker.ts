/** Decodes, restores and encodes pictures, so that the page never waits for that. */

import { createEngine, hasGpu, type Engine } from "./engine";
import { reasonOf, Refusal } from "./failures";
import type { Answer, Format, Request, Settings } from "./messages";
import type { Network } from "./models";
import { restore } from "./restore";

const NETWORK_MEMORY = 500e6; // bytes that a network may take beside the picture
const QUALITY = 0.92; // of JPEG and WebP

let settings: Settings;
let original: ImageData | null = null;
let restored: Uint8ClampedArray | null = null;
let engine: Engine | null = null;
let gpu: boolean | null = null; // not known yet
let memory = NETWORK_MEMORY;

const answer = (message: Answer, transfer: Transferable[] = []) => self.postMessage(message, { transfer });

self.addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  try {
    if (data.type === "settings") settings = data.settings;
    else if (data.type === "open") await open(data.file);
    else if (data.type === "restore") await restoreWith(data.network);
    else await save(data.format, data.strength);
  } catch (error) {
    answer({ type: "failed", reason: reasonOf(error), detail: String(error) });
  }
});

async function open(file: Blob): Promise<void> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch (error) {
    throw new Refusal("damaged", error);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Refusal("memory");
  original = restored = null; // only now, so that a damaged file leaves the photo before in place
  context.drawImage(bitmap, 0, 0);
  original = context.getImageData(0, 0, bitmap.width, bitmap.height);
  canvas.width = canvas.height = 0; // frees its memory at once
  answer({ type: "opened", bitmap }, [bitmap]);
}

async function restoreWith(name: string): Promise<void> {
  const network = settings.models.networks.find((each) => each.name === name);
  if (!network || !original) throw new Error(`Nothing to restore with ${name}`);
  gpu ??= settings.gpu && (await hasGpu());
  const begin = performance.now();
  for (;;) {
    try {
      const bitmap = await attempt(network, original);
      const { device, threads } = engine!;
      const seconds = (performance.now() - begin) / 1000;
      answer({ type: "restored", outcome: { bitmap, device, threads, seconds } }, [bitmap]);
      return;
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === "network") throw error;
      await engine?.release().catch(() => undefined);
      engine = null;
      if (gpu) gpu = false; // a driver that fails is no reason to give up
      else if (reason === "memory" && memory > NETWORK_MEMORY / 8) memory /= 2;
      else throw error;
    }
  }
}

async function attempt(network: Network, picture: ImageData): Promise<ImageBitmap> {
  if (engine?.network !== network.name) {
    await engine?.release();
    engine = null;
    engine = await createEngine(network, settings.base, Boolean(gpu), {
      download: (loaded, total) => answer({ type: "download", loaded, total }),
      prepare: () => answer({ type: "preparing" }),
    });
  }
  const { taper, blend, smallestTile } = settings.models;
  const plan = {
    cutting: { step: network.step, radius: network.radius, taper, smallest: smallestTile },
    blend,
    pixels: memory / network.bytesPerPixel,
    tile: settings.tile,
  };
  const { height, width } = picture;
  const pixels = await restore(picture.data, height, width, plan, engine.run, (done, total) => {
    answer({ type: "tiles", done, total });
  });
  restored = pixels;
  return createImageBitmap(new ImageData(pixels as Uint8ClampedArray<ArrayBuffer>, width, height));
}

async function save(format: Format, strength: number): Promise<void> {
  if (!original || !restored) throw new Error("Nothing to save");
  const { width, height } = original;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Refusal("memory");
  const pixels = strength === 1 ? restored : blended(original.data, restored, strength);
  context.putImageData(new ImageData(pixels as Uint8ClampedArray<ArrayBuffer>, width, height), 0, 0);
  if (format === "jpeg") {
    // JPEG has no transparency: what lies behind is white, not black.
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
  }
  const type = `image/${format}`;
  const blob = await canvas.convertToBlob({ type, quality: QUALITY });
  if (blob.type !== type) throw new Refusal("format"); // some browsers write PNG instead of what they do not know
  answer({ type: "saved", blob });
}

function blended(from: Uint8ClampedArray, to: Uint8ClampedArray, share: number): Uint8ClampedArray {
  return to.map((value, place) => from[place] + share * (value - from[place]));
}
