/** Which part of a picture is seen: the position of its corner and the scale, with no DOM. */

export const LARGEST_SCALE = 32; // screen pixels per pixel of the picture
const LARGEST_FIT = 2; // a small picture is not blown up to fill the screen

export interface Size {
  width: number;
  height: number;
}

export interface View {
  x: number;
  y: number;
  scale: number;
}

export function fitScale(picture: Size, stage: Size): number {
  return Math.min(stage.width / picture.width, stage.height / picture.height, LARGEST_FIT);
}

export function fit(picture: Size, stage: Size): View {
  return keepInside({ x: 0, y: 0, scale: fitScale(picture, stage) }, picture, stage);
}

/** Zooms by a factor around a point of the stage, which stays where it is. */
export function zoom(view: View, factor: number, x: number, y: number, picture: Size, stage: Size): View {
  const smallest = fitScale(picture, stage);
  const scale = Math.min(Math.max(view.scale * factor, smallest), Math.max(LARGEST_SCALE, smallest));
  const change = scale / view.scale;
  return keepInside({ x: x - (x - view.x) * change, y: y - (y - view.y) * change, scale }, picture, stage);
}

export function move(view: View, dx: number, dy: number, picture: Size, stage: Size): View {
  return keepInside({ ...view, x: view.x + dx, y: view.y + dy }, picture, stage);
}

/** Leaves no gap at the sides of a picture that is larger than the stage, and centres one that is smaller. */
function keepInside({ x, y, scale }: View, picture: Size, stage: Size): View {
  const place = (at: number, length: number, room: number) =>
    length <= room ? (room - length) / 2 : Math.min(Math.max(at, room - length), 0);
  return {
    x: place(x, picture.width * scale, stage.width),
    y: place(y, picture.height * scale, stage.height),
    scale,
  };
}
