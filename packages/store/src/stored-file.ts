/**
 * Single files beside stores, such as indexes, wherever a driver of object-schemes.ts reaches.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { CopiedFile } from "./copied-file.ts";
import { objectScheme, objectSchemeNames, type ObjectFile, type ObjectStoreOptions } from "./object-schemes.ts";
import { openRangedFile } from "./ranged-file.ts";
import { withStoreAccess } from "./store-access.ts";

export interface StoredFileOptions extends ObjectStoreOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Whether fetchStoredFile() and writeStoredFile() take the location. */
export function isStoredFile(location: string): boolean {
  return objectScheme(location) !== undefined;
}

/** The location of a file in the folder at a location. */
export function storedFileBelow(folder: string, name: string): string {
  const encoded = objectScheme(folder)?.isEncoded === true ? encodeURIComponent(name) : name;
  return `${folder.replace(/\/+$/, "")}/${encoded}`;
}

/**
 * The file at a location; undefined when there is none.
 * @param maxBytes the most bytes to take
 * @throws ConfigError `store-scheme-unknown`; FormatError when it is larger; what the driver throws
 */
export async function fetchStoredFile(
  location: string,
  maxBytes: number,
  options: StoredFileOptions = {},
): Promise<Uint8Array | undefined> {
  return at(location, options, (objects) => objects.read("", maxBytes, options.signal));
}

/**
 * Copies the file at a location, of any size, to a new file here; false when there is none.
 * @throws ConfigError `store-scheme-unknown`; NotFoundError `source-missing`; NetworkError `file-changed`; what the driver throws
 */
export async function copyStoredFile(
  location: string,
  file: string,
  options: StoredFileOptions = {},
): Promise<boolean> {
  return at(location, options, async (objects) => {
    if (objects.copy !== undefined) return objects.copy("", file, options.signal);
    await using ranged = await openRangedFile(location, options, options.signal);
    await using output = await CopiedFile.create(file);
    if (ranged === undefined) {
      const bytes = await objects.read("", Number.MAX_SAFE_INTEGER, options.signal);
      if (bytes !== undefined) await output.write(bytes);
      return bytes !== undefined;
    }
    for (let offset = 0; offset < ranged.size; offset += copySize)
      await output.write(await ranged.read(offset, Math.min(copySize, ranged.size - offset)));
    return true;
  });
}

/** Bytes of a file that are asked for at once. */
const copySize = 8 * 1024 ** 2;

/**
 * Writes the file at a location, whole or not at all; one that is there is replaced.
 * @throws ConfigError `store-scheme-unknown`; what the driver throws
 */
export async function writeStoredFile(
  location: string,
  bytes: Uint8Array,
  options: StoredFileOptions = {},
): Promise<void> {
  await at(location, options, (objects) => objects.create("", bytes, true, options.signal));
}

/** Below the location of a file, the empty path is the file itself. */
async function at<T>(
  location: string,
  options: StoredFileOptions,
  work: (objects: ObjectFile) => Promise<T>,
): Promise<T> {
  const objects = await objectScheme(location)?.objects(location, await withStoreAccess(location, options));
  if (objects === undefined) {
    throw new ConfigError(`no driver takes the file ${location}`, {
      code: "store-scheme-unknown",
      hint: `expected one of ${objectSchemeNames.map((name) => `${name}://`).join(", ")}`,
      data: { expected: objectSchemeNames, found: location },
    });
  }
  try {
    return await work(objects);
  } finally {
    await objects.close();
  }
}
