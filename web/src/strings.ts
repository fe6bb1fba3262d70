/** What the page says. */

import type { Outcome, Reason } from "./messages";
import type { Network } from "./models";

export const FAILURES: Record<Reason, string> = {
  type: "This file is not a picture that this browser opens. JPEG, PNG, WebP and AVIF files work everywhere.",
  damaged: "This file is damaged or incomplete, so it cannot be opened.",
  large: "This picture is too large: the page takes up to 25 megapixels. Reduce it or cut it first.",
  memory: "There is not enough memory for this picture. Close other tabs, or reduce the picture first.",
  network: "A part of this page could not be loaded. Check the connection and try again.",
  format: "This browser cannot write that format. Choose another one.",
  unknown: "Something went wrong, and the photo could not be restored. Reload the page and try again.",
};

export const PREPARING = "Preparing…";
export const STOPPED = "Stopped. The photo is unchanged.";
export const RESTORING = "Restoring…";
export const LOADING = "Loading…";
export const SAVING = "Writing the file…";

const LABELS: Record<string, [label: string, note: string]> = {
  lite: ["Fast", ""],
  unet: ["Better", ", slower"],
};

export function networkLabel({ name, bytes }: Network): [label: string, note: string] {
  const [label, note] = LABELS[name] ?? [name, ""];
  return [label, megabytes(bytes) + note];
}

export function downloading(loaded: number, total: number): string {
  // Of a file that the host compresses, the size is not known beforehand.
  return `This is needed once: ${megabytes(loaded)}${total > loaded ? ` of ${megabytes(total)}` : ""}`;
}

export function restoring(done: number, total: number): string {
  return `Part ${Math.min(done + 1, total)} of ${total}`;
}

export function restored({ seconds, device, threads }: Outcome): string {
  const time = seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0);
  const where = device === "webgpu" ? "on the graphics processor" : `on ${threads} processor core${threads > 1 ? "s" : ""}`;
  return `Restored in ${time} s ${where}.`;
}

export function saved(name: string): string {
  return `Saved as ${name}.`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
