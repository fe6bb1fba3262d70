/** Downloads large files once, with progress, and keeps them for when there is no network. */

import { largeCache } from "./caches";

export type Progress = (loaded: number, total: number) => void;

/**
 * @param base - the address of the page, whose service worker answers from the same cache, and removes what is old
 * @param total - bytes, for the progress; 0 if unknown
 * @param sha256 - what the file must have, in hexadecimal digits, or null
 */
export async function download(
  url: string,
  base: string,
  total: number,
  sha256: string | null,
  progress: Progress,
) {
  // Without `caches`, as on a page that is not served securely, there is only the browser's own cache.
  const cache = "caches" in self ? await caches.open(largeCache(base)).catch(() => null) : null;
  const stored = await cache?.match(url);
  if (stored) {
    const bytes = new Uint8Array(await stored.arrayBuffer());
    if (await isWhole(bytes, sha256)) return bytes;
    await cache?.delete(url);
  }
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new Error(`${response.status} for ${url}`);
  total ||= Number(response.headers.get("Content-Length"));
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    progress(loaded, Math.max(total, loaded));
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  if (!(await isWhole(bytes, sha256))) throw new Error(`${url} is not the file that was built`);
  const type = response.headers.get("Content-Type") ?? "application/octet-stream";
  // The disk can be full, or storage forbidden; the file is here all the same.
  await cache?.put(url, new Response(bytes, { headers: { "Content-Type": type } })).catch(() => undefined);
  return bytes;
}

async function isWhole(bytes: Uint8Array<ArrayBuffer>, sha256: string | null): Promise<boolean> {
  if (sha256 === null || !("subtle" in crypto)) return true;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
