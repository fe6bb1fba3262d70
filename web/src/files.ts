/** Files in and out: what kind a file is, whether it can be opened, and the name of the result. */

import { Refusal } from "./failures";
import type { Format } from "./messages";

export const MOST_PIXELS = 25_000_000; // such a picture takes about a gigabyte, which not every tab gets
const MOST_BYTES = 200_000_000;

/** What files begin with, and where. */
const KINDS: [bytes: string, at: number][] = [
  ["\xff\xd8\xff", 0], // JPEG
  ["\x89PNG", 0],
  ["WEBP", 8],
  ["GIF8", 0],
  ["BM", 0],
  ["ftyp", 4], // AVIF, and HEIC, which only some browsers open
];

/**
 * Throws a `Refusal` if a file is no picture, or one that is too large.
 *
 * The size comes from the file's header, before anything is decoded: a small file can be an enormous picture.
 */
export async function checkFile(file: Blob): Promise<void> {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  if (!KINDS.some(([bytes, at]) => head.startsWith(bytes, at))) throw new Refusal("type");
  if (file.size > MOST_BYTES) throw new Refusal("large");
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Refusal(head.startsWith("ftyp", 4) ? "type" : "damaged"));
      image.src = url;
    });
    if (image.naturalWidth * image.naturalHeight > MOST_PIXELS) throw new Refusal("large");
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The first picture among what was dropped, pasted or chosen, or else the first file. */
export function pickFile(files: FileList | null | undefined): File | null {
  const all = Array.from(files ?? []);
  return all.find((file) => file.type.startsWith("image/")) ?? all[0] ?? null;
}

export function resultName(name: string, format: Format): string {
  const stem = name.replace(/\.[^.]*$/, "") || "photo";
  return `${stem}-deblurred.${format === "jpeg" ? "jpg" : format}`;
}

export function saveAs(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser reads the address soon after the click, but not within it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
