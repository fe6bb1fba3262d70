/** The blend of a network's results at two sizes of a picture: `models/scales.py` in TypeScript. */

import { fromFloats, type Picture } from "./picture";

/** The constants of the rule, from `models.json`. */
export interface Blend {
  slope: number;
  threshold: number;
  leastCorrection: number;
}

/** Means of blocks of 2x2 pixels. A last odd row or column is mirrored first. */
export function halfSize({ data, channels, largest, height, width }: Picture): Picture {
  const [rows, columns] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const half = new Float32Array(rows * columns * 3);
  const scale = 1 / (4 * largest);
  for (let row = 0, place = 0; row < rows; row++) {
    const upper = 2 * row * width;
    const lower = mirrored(2 * row + 1, height) * width;
    for (let column = 0; column < columns; column++) {
      const [left, right] = [2 * column, mirrored(2 * column + 1, width)];
      for (let channel = 0; channel < 3; channel++) {
        half[place++] =
          (data[(upper + left) * channels + channel] +
            data[(upper + right) * channels + channel] +
            data[(lower + left) * channels + channel] +
            data[(lower + right) * channels + channel]) *
          scale;
      }
    }
  }
  return fromFloats(half, rows, columns);
}

/** Where the mirrored row or column beyond the last one comes from; of a single one, it is that one again. */
function mirrored(place: number, size: number): number {
  return place < size ? place : Math.max(size - 2, 0);
}

/** The mean absolute difference of a restored picture (three floats per pixel) to the picture itself. */
export function meanChange(restored: Float32Array, { data, channels, largest, height, width }: Picture): number {
  let sum = 0;
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      sum += Math.abs(restored[3 * pixel + channel] - data[channels * pixel + channel] / largest);
    }
  }
  return sum / (3 * height * width);
}

/** The share of the coarse result, 0 to 1, from the mean corrections of the fine and of the coarse pass. */
export function blendShare(fine: number, coarse: number, { slope, threshold, leastCorrection }: Blend): number {
  return Math.min(Math.max(slope * (coarse / Math.max(fine, leastCorrection) - threshold), 0), 1);
}

/** Adds share * double(coarse - half(fine)) to the fine result, in place. */
export function exchange(fine: Picture & { data: Float32Array }, coarse: Float32Array, share: number): void {
  if (share === 0) return;
  const half = halfSize(fine);
  const exchanged = half.data as Float32Array;
  for (let place = 0; place < exchanged.length; place++) exchanged[place] = share * (coarse[place] - exchanged[place]);
  addDoubled(fine, half);
}

/**
 * Adds a picture, enlarged to twice its size by bilinear interpolation, to another one.
 *
 * Each sample is 3/4 of the nearer and 1/4 of the farther neighbour along each side. Edges are repeated, and a last row
 * or column too many is left out.
 */
export function addDoubled({ data, height, width }: Picture, small: Picture): void {
  const samples = 3 * small.width;
  const line = new Float32Array(samples);
  for (let row = 0; row < height; row++) {
    const near = samples * (row >> 1);
    const far = samples * neighbour(row, small.height);
    for (let sample = 0; sample < samples; sample++) {
      line[sample] = 0.75 * small.data[near + sample] + 0.25 * small.data[far + sample];
    }
    for (let column = 0, place = 3 * row * width; column < width; column++) {
      const [nearer, farther] = [3 * (column >> 1), 3 * neighbour(column, small.width)];
      for (let channel = 0; channel < 3; channel++) {
        data[place++] += 0.75 * line[nearer + channel] + 0.25 * line[farther + channel];
      }
    }
  }
}

/** The farther neighbour, in the small picture, of a row or column of the large one. */
function neighbour(place: number, size: number): number {
  const far = (place >> 1) + (place % 2 ? 1 : -1);
  return Math.min(Math.max(far, 0), size - 1);
}
