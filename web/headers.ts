/** The headers that the page is served with. The build writes them to dist/_headers, the service worker adds them. */

export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'", // nothing can be uploaded anywhere else
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

export const HEADERS: Record<string, string> = {
  "Content-Security-Policy": `${POLICY}; frame-ancestors 'none'`,
  // These two isolate the page from other sites. Browsers allow threads only then.
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};
