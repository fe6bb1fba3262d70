/** Registers the service worker, see sw.ts. */

const RELOADED = "reloaded-for-threads";

/**
 * Where the host sets no headers, the page is isolated, and may use threads, only after the service worker has answered
 * for it. So on a first visit it loads again, unless somebody is using it already.
 */
export async function registerServiceWorker(isInUse: () => boolean): Promise<void> {
  if (!("serviceWorker" in navigator) || !import.meta.env.PROD) return;
  try {
    await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    await navigator.serviceWorker.ready;
    if (self.crossOriginIsolated || isInUse() || sessionStorage.getItem(RELOADED)) return;
    sessionStorage.setItem(RELOADED, "yes");
    location.reload();
  } catch {
    // Private windows forbid it. The page works without, while there is a network.
  }
}
