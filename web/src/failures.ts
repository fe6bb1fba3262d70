/** Tells from an error why something did not work. */

import type { Reason } from "./messages";

/** An error whose reason is known. */
export class Refusal extends Error {
  constructor(
    readonly reason: Reason,
    cause?: unknown,
  ) {
    super(cause === undefined ? reason : `${reason}: ${cause}`);
  }
}

export function reasonOf(error: unknown): Reason {
  if (error instanceof Refusal) return error.reason;
  const text = String(error);
  // What browsers, WebAssembly and ONNX Runtime call it.
  if (/memory|bad_alloc|allocat|RangeError|QuotaExceeded|buffer creation failed/i.test(text)) return "memory";
  // A number alone is a C++ exception of WebAssembly, which for this program means that memory ran out.
  if (/^\d+$/.test(text)) return "memory";
  if (/fetch|NetworkError|Load failed|^Error: \d{3} for|is not the file that was built/i.test(text)) return "network";
  return "unknown";
}
