/**
 * Shows a picture before and after, with a divider, zoom and strength.
 *
 * The two pictures lie on each other. The browser blends, cuts and enlarges them, so nothing is drawn again.
 */

import { fit, fitScale, move, zoom, type View } from "./view";

const KEY_STEP = 80; // screen pixels
const ZOOM_STEP = 1.5;

export class Viewer {
  private picture = { width: 1, height: 1 };
  private view: View = { x: 0, y: 0, scale: 1 };
  private fitted = true;
  private pointers = new Map<number, { x: number; y: number }>();

  /** @param stage - holds a canvas `.before`, a canvas `.after` in `.after-layer`, and the range `.compare` */
  constructor(
    private readonly stage: HTMLElement,
    private readonly zoomLabel: HTMLElement,
  ) {
    new ResizeObserver(() => (this.fitted ? this.fit() : this.show(move(this.view, 0, 0, this.picture, this.size)))).observe(stage);
    this.compare.addEventListener("input", () => this.showDivider());
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.onKey(event));
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointermove", (event) => this.onMove(event));
    for (const type of ["pointerup", "pointercancel"] as const) {
      stage.addEventListener(type, (event) => this.pointers.delete(event.pointerId));
    }
    stage.addEventListener("dblclick", (event) => (this.fitted ? this.zoomTo(this.pixelScale, event) : this.fit()));
    this.showDivider();
  }

  private get compare() {
    return this.stage.querySelector<HTMLInputElement>(".compare")!;
  }

  private get size() {
    return { width: this.stage.clientWidth || 1, height: this.stage.clientHeight || 1 };
  }

  /** The scale at which a pixel of the picture is one of the screen. */
  private get pixelScale() {
    return 1 / devicePixelRatio;
  }

  setBefore(bitmap: ImageBitmap): void {
    this.picture = { width: bitmap.width, height: bitmap.height };
    this.clearAfter();
    draw(this.stage.querySelector(".before")!, bitmap);
    this.fit();
  }

  setAfter(bitmap: ImageBitmap): void {
    draw(this.stage.querySelector(".after")!, bitmap);
    this.stage.classList.add("has-after");
  }

  clearAfter(): void {
    const canvas = this.stage.querySelector<HTMLCanvasElement>(".after")!;
    canvas.width = canvas.height = 1;
    this.stage.classList.remove("has-after");
  }

  /** @param strength - share of the correction that is shown, 0 to 1 */
  setStrength(strength: number): void {
    this.stage.style.setProperty("--strength", String(strength));
  }

  fit(): void {
    this.show(fit(this.picture, this.size));
  }

  zoomIn(): void {
    this.zoomBy(ZOOM_STEP);
  }

  zoomOut(): void {
    this.zoomBy(1 / ZOOM_STEP);
  }

  showPixels(): void {
    this.zoomBy(this.pixelScale / this.view.scale);
  }

  private zoomBy(factor: number, x = this.size.width / 2, y = this.size.height / 2): void {
    this.show(zoom(this.view, factor, x, y, this.picture, this.size));
  }

  private zoomTo(scale: number, { clientX, clientY }: MouseEvent): void {
    const { left, top } = this.stage.getBoundingClientRect();
    this.zoomBy(scale / this.view.scale, clientX - left, clientY - top);
  }

  private show(view: View): void {
    this.view = view;
    this.fitted = view.scale <= fitScale(this.picture, this.size) * 1.0001;
    const { style, classList } = this.stage;
    style.setProperty("--x", `${view.x}px`);
    style.setProperty("--y", `${view.y}px`);
    style.setProperty("--scale", String(view.scale));
    classList.toggle("zoomed", !this.fitted);
    classList.toggle("pixels", view.scale >= 2 * this.pixelScale);
    this.zoomLabel.textContent = `${Math.round((100 * view.scale) / this.pixelScale)} %`;
  }

  private showDivider(): void {
    const { value } = this.compare;
    this.stage.style.setProperty("--divider", `${value}%`);
    this.compare.setAttribute("aria-valuetext", `${value} % of the width shows the photo before`);
  }

  private onWheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const { left, top } = this.stage.getBoundingClientRect();
    // A trackpad's pinch comes as a wheel with the control key, in smaller steps.
    const speed = event.ctrlKey ? 0.01 : 0.002;
    this.zoomBy(Math.exp(-event.deltaY * lines * speed), event.clientX - left, event.clientY - top);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [KEY_STEP, 0],
      ArrowRight: [-KEY_STEP, 0],
      ArrowUp: [0, KEY_STEP],
      ArrowDown: [0, -KEY_STEP],
    };
    const onDivider = event.target === this.compare; // whose arrow keys move it
    if (event.key === "+" || event.key === "=") this.zoomIn();
    else if (event.key === "-") this.zoomOut();
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.showPixels();
    else if (event.key in moves && !onDivider) this.show(move(this.view, ...moves[event.key], this.picture, this.size));
    else return;
    event.preventDefault();
  }

  private onDown(event: PointerEvent): void {
    if (event.target === this.compare) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  private onMove(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const { left, top, width } = this.stage.getBoundingClientRect();
    if (other) {
      const distance = (point: { x: number; y: number }) => Math.hypot(point.x - other.x, point.y - other.y);
      const middle = { x: (now.x + other.x) / 2 - left, y: (now.y + other.y) / 2 - top };
      this.show(move(this.view, (now.x - before.x) / 2, (now.y - before.y) / 2, this.picture, this.size));
      this.zoomBy(distance(now) / Math.max(distance(before), 1), middle.x, middle.y);
    } else if (this.fitted) {
      // There is nothing to move the picture to, so moving a finger over it moves the divider.
      this.compare.value = String((100 * (now.x - left)) / width);
      this.showDivider();
    } else {
      this.show(move(this.view, now.x - before.x, now.y - before.y, this.picture, this.size));
    }
  }
}

function draw(canvas: HTMLCanvasElement, bitmap: ImageBitmap): void {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(bitmap);
}
