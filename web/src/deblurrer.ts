/** The worker as the page sees it: functions that return promises, and can be cancelled. */

import { Refusal } from "./failures";
import type { Answer, Format, Outcome, Request, Settings } from "./messages";

type Progress = (answer: Extract<Answer, { type: "download" | "preparing" | "tiles" }>) => void;

export class Cancelled extends Error {}

export class Deblurrer {
  private worker: Worker | null = null;
  private file: Blob | null = null;
  private opened = false;
  private abandon: ((error: Error) => void) | null = null;

  constructor(private readonly settings: Settings) {}

  /** Whether the worker has the picture that was opened last. What ends the worker takes it away. */
  get hasPicture(): boolean {
    return this.opened;
  }

  /** Decodes a picture. Returns it upright. If that fails, the picture before stays open. */
  async open(file: Blob): Promise<ImageBitmap> {
    this.cancel();
    const { bitmap } = await this.ask({ type: "open", file }, "opened");
    this.file = file;
    this.opened = true;
    return bitmap;
  }

  /** Restores the picture that was opened last. */
  async restore(network: string, progress: Progress): Promise<Outcome> {
    if (!this.opened && this.file) (await this.open(this.file)).close();
    return (await this.ask({ type: "restore", network }, "restored", progress)).outcome;
  }

  async save(format: Format, strength: number): Promise<Blob> {
    return (await this.ask({ type: "save", format, strength }, "saved")).blob;
  }

  /** Stops what is going on. Ending the worker is the only way to stop a network within a tile. */
  cancel(): void {
    if (!this.abandon) return;
    this.end();
    this.abandon?.(new Cancelled());
  }

  private end(): void {
    this.worker?.terminate();
    this.worker = null;
    this.opened = false;
  }

  private ask<Type extends Answer["type"]>(request: Request, wanted: Type, progress?: Progress) {
    return new Promise<Extract<Answer, { type: Type }>>((resolve, reject) => {
      if (!this.worker) {
        this.worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
        this.worker.postMessage({ type: "settings", settings: this.settings } satisfies Request);
      }
      const finish = (act: () => void) => {
        this.abandon = null;
        act();
      };
      this.abandon = (error) => finish(() => reject(error));
      this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        if (data.type === "download" || data.type === "preparing" || data.type === "tiles") progress?.(data);
        else if (data.type === "failed") finish(() => reject(new Refusal(data.reason, data.detail)));
        else if (data.type === wanted) finish(() => resolve(data as Extract<Answer, { type: Type }>));
      };
      // A worker that could not be loaded, or that was killed.
      this.worker.onerror = (event) => {
        event.preventDefault();
        this.end();
        finish(() => reject(new Refusal(navigator.onLine ? "unknown" : "network", event.message)));
      };
      this.worker.postMessage(request);
    });
  }
}
