/** The page's arithmetic against what Python computes: `npm test` lets cases.py write cases.json first. */

import { expect, test } from "vitest";
import { fromFloats, fromPixels } from "../src/picture";
import { addDoubled, blendShare, exchange, halfSize, meanChange } from "../src/scales";
import { chooseTile, spans, tapers } from "../src/tiles";
import { restore } from "../src/restore";
import cases from "./cases.json";

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-6) {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let place = 0; place < expected.length; place++) {
    worst = Math.max(worst, Math.abs(actual[place] - expected[place]));
  }
  expect(worst).toBeLessThan(tolerance);
}

function withAlpha(picture: number[]): Uint8ClampedArray {
  const pixels = new Uint8ClampedArray((picture.length / 3) * 4);
  for (let pixel = 0; pixel < picture.length / 3; pixel++) {
    pixels.set([...picture.slice(3 * pixel, 3 * pixel + 3), pixel % 256], 4 * pixel);
  }
  return pixels;
}

test.each(cases.tiles)("tiles of $tile over $length pixels", (each) => {
  const found = spans(each.length, each.tile, { ...each, taper: cases.taper });
  expect(found).toEqual(each.spans);
  tapers(found, cases.taper).forEach((weights, number) => expectClose(weights, each.tapers[number], 1e-7));
});

test.each(cases.halves)("half of $width x $height", ({ picture, half, height, width }) => {
  expectClose(halfSize(fromPixels(withAlpha(picture), height, width)).data, half);
  const floats = Float32Array.from(picture, (level) => level / 255);
  expectClose(halfSize(fromFloats(floats, height, width)).data, half);
});

test.each(cases.doubles)("doubled to $width x $height", ({ half, doubled, height, width }) => {
  const sum = new Float32Array(height * width * 3).fill(1);
  const small = fromFloats(Float32Array.from(half), Math.ceil(height / 2), Math.ceil(width / 2));
  addDoubled(fromFloats(sum, height, width), small);
  expectClose(sum, doubled.map((value) => value + 1));
});

test.each(cases.shares)("share for corrections of %f and %f", (fine, coarse, share) => {
  expect(blendShare(fine, coarse, cases.blend)).toBeCloseTo(share, 6);
});

test("a result with the low frequencies of the coarse one is not changed by the exchange", () => {
  const fine = fromFloats(Float32Array.from({ length: 5 * 7 * 3 }, (_, place) => Math.sin(place)), 5, 7);
  const before = fine.data.slice();
  exchange(fine as typeof fine & { data: Float32Array }, halfSize(fine).data as Float32Array, 0.7);
  expectClose(fine.data, before);
});

test("the mean change counts colours only", () => {
  const pixels = new Uint8ClampedArray([255, 0, 51, 9, 0, 0, 0, 200]);
  expect(meanChange(new Float32Array([1, 0.6, 0.2, 0, 0, 0.3]), fromPixels(pixels, 1, 2))).toBeCloseTo(0.9 / 6, 6);
});

test("tiles of a network that looks at one pixel give the result of the whole picture", async () => {
  const [height, width] = [300, 261];
  const pixels = Uint8ClampedArray.from({ length: height * width * 4 }, (_, place) => (place * 7919) % 256);
  const invert = async (input: Float32Array) => input.map((value) => 1 - value);
  const plan = { cutting: { step: 16, radius: 16, taper: 32, smallest: 128 }, blend: cases.blend, pixels: 1e9, tile: null };
  const counts: number[] = [];
  const results = [];
  for (const tile of [null, 128]) {
    results.push(
      await restore(pixels, height, width, { ...plan, tile }, invert, (done, total) => {
        if (done === total) counts.push(total);
      }),
    );
  }
  expect(counts[0]).toBe(2);
  expect(counts[1]).toBeGreaterThan(10);
  expectClose(results[1], results[0], 0.5);
  results[0].forEach((level, place) => {
    const expected = place % 4 === 3 ? pixels[place] : 255 - pixels[place];
    if (level !== expected) throw new Error(`${level} instead of ${expected} at ${place}`);
  });
});

test("the tile that is chosen fits, and does the least work", () => {
  const cutting = { step: 16, radius: 144, taper: 32, smallest: 128 };
  expect(chooseTile(720, 1280, 720 * 1280, cutting)).toBeNull();
  const tile = chooseTile(720, 1280, 460_000, cutting)!;
  expect(tile % 16).toBe(0);
  expect(tile * tile).toBeLessThanOrEqual(460_000);
  const work = (side: number) =>
    spans(720, side, cutting).length * spans(1280, side, cutting).length * side * side;
  expect(work(tile)).toBeLessThanOrEqual(work(672));
});
