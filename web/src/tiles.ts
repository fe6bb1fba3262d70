/** Where overlapping tiles lie along one side of a picture, and their weights: `restoring/tiles.py` in TypeScript. */

export type Span = readonly [begin: number, end: number];

/** How a network can be cut into tiles, from `models.json`, all in pixels. */
export interface Cutting {
  /** Tiles begin at multiples of it. */
  step: number;
  /** How far the network sees. */
  radius: number;
  /** Over how many pixels one tile fades into the next. */
  taper: number;
  /** The smallest side of tiles; with smaller ones, more than two can overlap. */
  smallest: number;
}

/** Tiles overlap by twice the radius plus the taper, or by a third of the tile if that is less. */
export function spans(length: number, tile: number, { step, radius, taper }: Omit<Cutting, "smallest">): Span[] {
  if (length <= tile) return [[0, length]];
  const overlap = Math.min(2 * radius + taper, Math.floor(tile / 3));
  const last = Math.ceil((length - tile) / step) * step;
  const steps = Math.ceil(last / (Math.floor((tile - overlap) / step) * step));
  return Array.from({ length: steps + 1 }, (_, number) => {
    const begin = Math.floor(Math.floor((number * last) / steps) / step) * step;
    return [begin, Math.min(begin + tile, length)] as const;
  });
}

/** The weight of each pixel of each tile along one side; at every pixel, the weights of all tiles add up to 1. */
export function tapers(tiles: Span[], taper: number): Float32Array[] {
  const weights = tiles.map(([begin, end]) => new Float32Array(end - begin).fill(1));
  for (let number = 1; number < tiles.length; number++) {
    const [beginBefore, end] = tiles[number - 1];
    const [begin] = tiles[number];
    for (let place = begin; place < end; place++) {
      const ramp = Math.fround(clip((place + 0.5 - (begin + end) / 2) / taper + 0.5));
      weights[number][place - begin] *= ramp;
      weights[number - 1][place - beginBefore] *= 1 - ramp;
    }
  }
  return weights;
}

/**
 * The side of the tiles for a picture whose network may take so many pixels at once; null if it fits as a whole.
 *
 * Of the sides that fit, down to half of the largest, it is the one with which the network has the least to do.
 */
export function chooseTile(height: number, width: number, pixels: number, cutting: Cutting): number | null {
  if (height * width <= pixels) return null;
  const { step, smallest } = cutting;
  const largest = roundTile(Math.sqrt(pixels) - step + 1, cutting);
  let best = largest;
  let least = Infinity;
  for (let tile = largest; tile >= Math.max(largest / 2, smallest); tile -= step) {
    const work = covered(height, tile, cutting) * covered(width, tile, cutting);
    if (work < least) [best, least] = [tile, work];
  }
  return best;
}

/** The side of tiles, at least the smallest one, rounded up to a multiple of the step. */
export function roundTile(tile: number, { step, smallest }: Cutting): number {
  return Math.ceil(Math.max(tile, smallest) / step) * step;
}

function covered(length: number, tile: number, cutting: Cutting): number {
  return spans(length, tile, cutting).reduce((sum, [begin, end]) => sum + end - begin, 0);
}

function clip(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
