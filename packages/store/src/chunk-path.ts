/**
 * Where a chunk lies below a store's root: `<first 4 hex>/<64 hex>.cacnk`, as casync lays it out.
 * Only a name of 64 lower-case hexadecimal digits becomes a path, so nothing can leave the store.
 * @module
 */
import { FormatError } from "@imgtool/core";
import type { ChunkName } from "./store.ts";

/** What the name of a compressed chunk's file ends with; a plain chunk's file has no suffix. */
export const compressedSuffix = ".cacnk";

const namePattern = /^[0-9a-f]{64}$/;

/** Whether the text is a chunk's name: 64 lower-case hexadecimal digits. */
export function isChunkName(text: string): text is ChunkName {
  return namePattern.test(text);
}

/** @throws FormatError `chunk-name-invalid` unless the text is a chunk's name */
export function checkChunkName(text: string): void {
  if (isChunkName(text)) return;
  throw new FormatError(`not a chunk name: ${JSON.stringify(text)}, expected 64 lower-case hexadecimal digits`, {
    code: "chunk-name-invalid",
    data: { found: text },
  });
}

/** The folder of the chunk below the store's root: 4 hexadecimal digits. */
export function chunkFolder(name: ChunkName): string {
  checkChunkName(name);
  return name.slice(0, 4);
}

/**
 * Path of the chunk below the store's root, with `/` as separator: valid in paths and in URLs.
 * @throws FormatError `chunk-name-invalid`
 */
export function chunkPath(name: ChunkName, compressed = true): string {
  return `${chunkFolder(name)}/${name}${compressed ? compressedSuffix : ""}`;
}
