/** Restores a picture at two sizes, in tiles where it is large: what Python's `Restorer` does with one network. */

import { fromFloats, fromPixels, type Picture } from "./picture";
import { blendShare, exchange, halfSize, meanChange, type Blend } from "./scales";
import { chooseTile, roundTile, spans, tapers, type Cutting } from "./tiles";

/** A network: from three floats per pixel in 0..1 to as many. */
export type Run = (input: Float32Array, height: number, width: number) => Promise<Float32Array>;

export interface Plan {
  cutting: Cutting;
  blend: Blend;
  /** How many pixels the network takes at once. */
  pixels: number;
  /** A side of the tiles in pixels instead, or null. */
  tile: number | null;
}

/**
 * @param pixels - bytes, RGBA; alpha is kept as it is
 * @param progress - called with the number of tiles that are done, and of all
 * @returns bytes, RGBA
 */
export async function restore(
  pixels: Uint8ClampedArray,
  height: number,
  width: number,
  plan: Plan,
  run: Run,
  progress: (done: number, total: number) => void,
): Promise<Uint8ClampedArray> {
  const picture = fromPixels(pixels, height, width);
  const small = halfSize(picture);
  const total = countTiles(picture, plan) + countTiles(small, plan);
  let done = 0;
  const step = () => progress(++done, total);
  progress(0, total);
  const coarse = await inTiles(small, plan, run, step);
  const coarseChange = meanChange(coarse, small);
  const fine = await inTiles(picture, plan, run, step);
  exchange(fromFloats(fine, height, width) as Picture & { data: Float32Array }, coarse,
    blendShare(meanChange(fine, picture), coarseChange, plan.blend));
  return toPixels(fine, pixels);
}

function tileFor({ height, width }: Picture, { tile, pixels, cutting }: Plan): number {
  if (tile !== null) return roundTile(tile, cutting);
  return chooseTile(height, width, pixels, cutting) ?? Math.max(height, width);
}

function countTiles(picture: Picture, plan: Plan): number {
  const tile = tileFor(picture, plan);
  return spans(picture.height, tile, plan.cutting).length * spans(picture.width, tile, plan.cutting).length;
}

async function inTiles(picture: Picture, plan: Plan, run: Run, step: () => void): Promise<Float32Array> {
  const { height, width } = picture;
  const { cutting } = plan;
  const tile = tileFor(picture, plan);
  const [rows, columns] = [spans(height, tile, cutting), spans(width, tile, cutting)];
  if (rows.length * columns.length === 1) {
    const restored = await run(crop(picture, 0, height, 0, width), height, width);
    step();
    return restored;
  }
  const [fadeRows, fadeColumns] = [tapers(rows, cutting.taper), tapers(columns, cutting.taper)];
  const whole = new Float32Array(height * width * 3);
  for (const [number, [top, bottom]] of rows.entries()) {
    for (const [other, [left, right]] of columns.entries()) {
      const restored = await run(crop(picture, top, bottom, left, right), bottom - top, right - left);
      for (let row = top, from = 0; row < bottom; row++) {
        const fade = fadeRows[number][row - top];
        for (let column = left, to = 3 * (row * width + left); column < right; column++) {
          const weight = Math.fround(fade * fadeColumns[other][column - left]);
          for (let channel = 0; channel < 3; channel++) whole[to++] += weight * restored[from++];
        }
      }
      step();
    }
  }
  return whole;
}

function crop({ data, channels, largest, width }: Picture, top: number, bottom: number, left: number, right: number) {
  const part = new Float32Array((bottom - top) * (right - left) * 3);
  for (let row = top, to = 0; row < bottom; row++) {
    for (let column = left, from = channels * (row * width + left); column < right; column++, from += channels) {
      for (let channel = 0; channel < 3; channel++) part[to++] = data[from + channel] / largest;
    }
  }
  return part;
}

function toPixels(restored: Float32Array, pixels: Uint8ClampedArray): Uint8ClampedArray {
  const result = new Uint8ClampedArray(pixels.length); // rounds and clips as NumPy does
  for (let to = 0, from = 0; to < pixels.length; to += 4) {
    for (let channel = 0; channel < 3; channel++) result[to + channel] = 255 * restored[from++];
    result[to + 3] = pixels[to + 3];
  }
  return result;
}
