/** Samples of a picture, row by row. Alpha, where there is a fourth channel, is not part of the picture. */
export interface Picture {
  data: Float32Array | Uint8ClampedArray;
  channels: 3 | 4;
  /** The value of white: 255 for bytes, 1 for floats. */
  largest: 255 | 1;
  height: number;
  width: number;
}

export function fromPixels(data: Uint8ClampedArray, height: number, width: number): Picture {
  return { data, channels: 4, largest: 255, height, width };
}

export function fromFloats(data: Float32Array, height: number, width: number): Picture {
  return { data, channels: 3, largest: 1, height, width };
}
