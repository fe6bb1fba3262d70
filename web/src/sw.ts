/**
 * The service worker: the page works offline, and it may use threads on hosts that cannot set headers.
 *
 * The page itself is stored at once. The large files, WebAssembly and networks, are stored when they are first needed.
 */

import { HEADERS } from "../headers";
import { largeCache, shellCache } from "./caches";

declare const __FILES__: string[];
declare const __VERSION__: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const FILES = __FILES__;
const SCOPE = worker.registration.scope;
const SHELL = shellCache(SCOPE, __VERSION__);
const LARGE = largeCache(SCOPE);
const isLarge = (file: string) => /\.(wasm|onnx)$/.test(file);
const address = (file: string) => new URL(file, SCOPE).href;

worker.addEventListener("install", (event) => {
  event.waitUntil(storeShell());
});

async function storeShell(): Promise<void> {
  const shell = await caches.open(SHELL);
  // Past the browser's own cache, which can still have the page of the version before.
  await shell.addAll(FILES.filter((file) => !isLarge(file)).map((file) => new Request(address(file), { cache: "reload" })));
}

worker.addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([removeOld(), worker.clients.claim()]));
});

async function removeOld(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(shellCache(SCOPE)) && name !== SHELL);
  await Promise.all(old.map((name) => caches.delete(name)));
  const large = await caches.open(LARGE);
  const current = new Set(FILES.map(address));
  for (const request of await large.keys()) {
    if (!current.has(request.url)) await large.delete(request);
  }
}

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== worker.location.origin) return;
  event.respondWith(answer(request, url));
});

async function answer(request: Request, url: URL): Promise<Response> {
  const page = request.mode === "navigate" && url.pathname === new URL(SCOPE).pathname;
  const wanted = page ? address("index.html") : url.origin + url.pathname;
  const stored = (await (await caches.open(SHELL)).match(wanted)) ?? (await (await caches.open(LARGE)).match(wanted));
  return withHeaders(stored ?? (await fetch(request)));
}

function withHeaders(response: Response): Response {
  if (response.type === "error" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  Object.entries(HEADERS).forEach(([name, value]) => headers.set(name, value));
  const { status, statusText } = response;
  return new Response([204, 205, 304].includes(status) ? null : response.body, { status, statusText, headers });
}
