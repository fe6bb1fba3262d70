/** What make_models.py wrote about the networks. */

import type { Blend } from "./scales";

export interface Network {
  name: string;
  file: string;
  bytes: number;
  sha256: string;
  radius: number;
  step: number;
  bytesPerPixel: number;
}

export interface Models {
  networks: Network[];
  blend: Blend;
  taper: number;
  smallestTile: number;
}

export async function loadModels(): Promise<Models> {
  const response = await fetch("models/models.json");
  if (!response.ok) throw new Error(`${response.status} for models.json`);
  return response.json();
}
